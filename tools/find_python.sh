#!/bin/sh
# Prints "PATH VERSION" of the first interpreter that runs and is Python 3.11 or newer.
# Arguments: paths or commands, also versions such as 3.13; without any: python3, then the newest python3.x on PATH.
# A version is looked for on PATH, then among the interpreters that pyenv manages (its shims don't run unless selected).
probe='import platform, sys
sys.version_info >= (3, 11) or sys.exit(1)
implementation = "" if sys.implementation.name == "cpython" else sys.implementation.name + "-"
print(sys.executable, implementation + platform.python_version() + getattr(sys, "abiflags", ""))'

candidates() {
    for wanted in "$@"; do
        version=${wanted#python}
        case $version in
        3.[0-9]*)
            echo "python$version"
            if command -v pyenv >/dev/null 2>&1; then
                for python in "$(pyenv root)/versions/$version"/bin/python "$(pyenv root)/versions/$version".*/bin/python; do
                    echo "$python"
                done
            fi
            ;;
        *) echo "$wanted" ;;
        esac
    done
}

if [ $# -eq 0 ]; then
    set -- python3 3.14 3.13 3.12 3.11
    asked=
else
    asked=" at $*"
fi
candidates "$@" | {
    while IFS= read -r python; do
        "$python" -c "$probe" 2>/dev/null && exit
    done
    echo "onesocket needs Python 3.11 or newer and found none$asked; name one: make setup PYTHON=path/to/python" >&2
    exit 1
}
