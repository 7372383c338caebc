/* A libFuzzer target for onesocket/wire/_native.c, which is linked to it and instrumented; CPython is not.
 *
 * An input is eight bytes that say how, and a stream of bytes: the stream reaches one reader in pieces, by feed() or by
 * get_buffer() and received(), mixed with more(), take_controls(), and views of the buffer that are kept. What comes out must
 * keep the promises of the interface, be the same when the stream comes in one piece, and come back when it is encoded and
 * read again. Some inputs make memory run out, or give an inflate() that fails, returns rubbish, or calls its own reader.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern PyObject *PyInit__native(void);
const char *__asan_default_options(void);

enum { PENDING = 1, CONTROLS = 2, CLOSED = 4, VIOLATED = 8 };
enum { NO_INFLATE, DOUBLING, REFUSING, HOSTILE };
enum { MASKED = 1, SMALL_LIMIT = 8, LIMIT = 16, NO_MEMORY = 32, LARGE = 64 };
enum { PLAN = 5, HEADER = 3 + PLAN, FILLER = 150000, MOST_FILLERS = 2 };

static PyObject *reader_type, *encode_frame, *refusal_type;

/* Names of the interface, interned. */
static PyObject *feed_name, *received_name, *get_buffer_name, *more_name, *take_controls_name;
static PyObject *state_name, *close_name, *violation_name;

#define REQUIRE(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static void
fail(const char *condition, int line)
{
    fprintf(stderr, "harness.c:%d: %s does not hold\n", line, condition);
    if (PyErr_Occurred()) {
        PyErr_Print();
    }
    abort();
}

/* ------------------------------------------------------------------------------------------------ memory that runs out */

static PyMemAllocatorEx real_memory[2];
static long allocations_left = -1; /* -1: as many as are wanted */
static long blocks_in_use;

static int
is_refused(void)
{
    if (allocations_left < 0) {
        return 0;
    }
    if (allocations_left == 0) {
        return 1;
    }
    allocations_left--;
    return 0;
}

static void *
limited_malloc(void *context, size_t size)
{
    PyMemAllocatorEx *real = context;
    void *block = is_refused() ? NULL : real->malloc(real->ctx, size);
    blocks_in_use += block != NULL;
    return block;
}

static void *
limited_calloc(void *context, size_t count, size_t size)
{
    PyMemAllocatorEx *real = context;
    void *block = is_refused() ? NULL : real->calloc(real->ctx, count, size);
    blocks_in_use += block != NULL;
    return block;
}

static void *
limited_realloc(void *context, void *block, size_t size)
{
    PyMemAllocatorEx *real = context;
    void *moved = is_refused() ? NULL : real->realloc(real->ctx, block, size);
    blocks_in_use += block == NULL && moved != NULL;
    return moved;
}

static void
limited_free(void *context, void *block)
{
    PyMemAllocatorEx *real = context;
    blocks_in_use -= block != NULL;
    real->free(real->ctx, block);
}

/* A block that one input in ten thousand leaks is seen in time. The interpreter's cache of attributes may keep 4096 names. */
static void
require_no_leak(void)
{
    static unsigned long executions;
    static long highest;
    if (++executions % 65536 == 0) {
        PyGC_Collect();
        if (highest == 0) {
            highest = blocks_in_use + 8192;
        }
        REQUIRE(blocks_in_use <= highest);
    }
}

static void
limit_memory(void)
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &real_memory[i]);
        PyMemAllocatorEx limited = {&real_memory[i], limited_malloc, limited_calloc, limited_realloc, limited_free};
        PyMem_SetAllocator(domains[i], &limited);
    }
}

/* ----------------------------------------------------------------------------------------------------- three inflate()s */

static PyObject *hostile_reader; /* borrowed: the reader that a hostile inflate() calls */
static int hostile_calls;

static PyObject *
inflate_doubling(PyObject *none, PyObject *arguments)
{
    const char *data;
    Py_ssize_t size;
    PyObject *first, *last;
    (void)none;
    if (!PyArg_ParseTuple(arguments, "y#OO", &data, &size, &first, &last)) {
        return NULL;
    }
    PyObject *plain = PyBytes_FromStringAndSize(NULL, size * 2);
    if (plain != NULL && size > 0) {
        memcpy(PyBytes_AS_STRING(plain), data, (size_t)size);
        memcpy(PyBytes_AS_STRING(plain) + size, data, (size_t)size);
    }
    return plain;
}

static PyObject *
inflate_refusing(PyObject *none, PyObject *arguments)
{
    PyObject *error = PyObject_CallFunction(refusal_type, "s", "no deflate data");
    (void)none;
    (void)arguments;
    if (error != NULL) {
        PyErr_SetObject(refusal_type, error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *
inflate_hostile(PyObject *none, PyObject *arguments)
{
    PyObject *const methods[] = {get_buffer_name, more_name, take_controls_name, feed_name, received_name};
    const char *data;
    Py_ssize_t size;
    PyObject *first, *last, *result = NULL;
    (void)none;
    if (!PyArg_ParseTuple(arguments, "y#OO", &data, &size, &first, &last)) {
        return NULL;
    }
    unsigned kind = size == 0 ? 0 : (unsigned char)data[0] % 9;
    if (kind < 5 && hostile_reader != NULL && hostile_calls++ < 8) {
        PyObject *argument = kind == 3 ? PyBytes_FromStringAndSize(data, size) : PyLong_FromSsize_t(size);
        if (argument == NULL) {
            return NULL;
        }
        result = kind < 3 ? PyObject_CallMethodNoArgs(hostile_reader, methods[kind])
                          : PyObject_CallMethodOneArg(hostile_reader, methods[kind], argument);
        Py_DECREF(argument);
        if (result == NULL && kind != 3) {
            return NULL;
        }
        PyErr_Clear();
        Py_XDECREF(result);
        return PyBytes_FromStringAndSize(data, size);
    }
    switch (kind) {
    case 5:
        Py_RETURN_NONE;
    case 6:
        PyErr_SetString(PyExc_KeyError, "a bug of inflate()");
        return NULL;
    case 7:
        return PyUnicode_FromString("text");
    default:
        return PyBytes_FromStringAndSize(data, size);
    }
}

static PyMethodDef inflates[] = {
    {NULL, NULL, 0, NULL},
    {"doubling", inflate_doubling, METH_VARARGS, NULL},
    {"refusing", inflate_refusing, METH_VARARGS, NULL},
    {"hostile", inflate_hostile, METH_VARARGS, NULL},
};
static PyObject *inflate_functions[4];

/* -------------------------------------------------------------------------------------------------------- one reader's run */

typedef struct {
    PyObject *reader, *messages, *controls;
    long long limit;
    int is_strict; /* no exception is allowed */
    int has_failed;
} Run;

static PyObject *
call_with_number(PyObject *reader, PyObject *name, Py_ssize_t value)
{
    PyObject *number = PyLong_FromSsize_t(value);
    PyObject *result = number == NULL ? NULL : PyObject_CallMethodOneArg(reader, name, number);
    Py_XDECREF(number);
    return result;
}

static long
state_of(PyObject *reader)
{
    PyObject *value = PyObject_GetAttr(reader, state_name);
    if (value == NULL) {
        return -1;
    }
    long state = PyLong_AsLong(value);
    Py_DECREF(value);
    return state;
}

static int
is_none(PyObject *reader, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(reader, name);
    int none = value == Py_None;
    if (value != NULL && !none) {
        REQUIRE(PyTuple_Check(value) && PyTuple_GET_SIZE(value) == 2);
        REQUIRE(PyLong_Check(PyTuple_GET_ITEM(value, 0)) && PyUnicode_Check(PyTuple_GET_ITEM(value, 1)));
    }
    Py_XDECREF(value);
    return none;
}

/* Take in the result of a call, which it gives up. */
static void
collect(Run *run, PyObject *result, PyObject *target, long state_before)
{
    if (result == NULL) {
        REQUIRE(PyErr_Occurred());
        REQUIRE(!run->is_strict);
        PyErr_Clear();
        run->has_failed = 1;
        return;
    }
    REQUIRE(PyList_CheckExact(result));
    Py_ssize_t count = PyList_GET_SIZE(result);
    if (run->is_strict) {
        REQUIRE(!(state_before & (CLOSED | VIOLATED)) || count == 0 || target == run->controls);
        REQUIRE(count <= 512);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GET_ITEM(result, i);
        if (target == run->controls) {
            REQUIRE(PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2 && PyBytes_Check(PyTuple_GET_ITEM(item, 1)));
            REQUIRE(PyBytes_GET_SIZE(PyTuple_GET_ITEM(item, 1)) <= 125);
        }
        else {
            Py_ssize_t size = 0;
            REQUIRE(PyBytes_Check(item) || PyUnicode_Check(item));
            if (PyBytes_Check(item)) {
                size = PyBytes_GET_SIZE(item);
            }
            else if (run->is_strict) {
                REQUIRE(PyUnicode_AsUTF8AndSize(item, &size) != NULL);
            }
            REQUIRE(!run->is_strict || run->limit < 0 || size <= run->limit);
        }
        if (PyList_Append(target, item) < 0) {
            PyErr_Clear();
            run->has_failed = 1;
        }
    }
    Py_DECREF(result);
    long state = state_of(run->reader);
    if (state >= 0 && run->is_strict) {
        REQUIRE(state == (state & 15));
        REQUIRE(((state & CLOSED) == 0) == is_none(run->reader, close_name));
        REQUIRE(((state & VIOLATED) == 0) == is_none(run->reader, violation_name));
        REQUIRE((state & (CLOSED | VIOLATED)) != (CLOSED | VIOLATED));
        REQUIRE(!(state & PENDING) || !(state & (CLOSED | VIOLATED)));
    }
    PyErr_Clear();
}

static int
start_run(Run *run, int flags, long long limit, PyObject *inflate)
{
    memset(run, 0, sizeof *run);
    run->limit = limit;
    PyObject *arguments = PyTuple_New(0);
    PyObject *max_size = limit < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(limit);
    PyObject *keywords = max_size == NULL ? NULL
                                          : Py_BuildValue("{sOsOsO}", "masked", flags & MASKED ? Py_True : Py_False, "max_size",
                                                          max_size, "inflate", inflate == NULL ? Py_None : inflate);
    if (arguments != NULL && keywords != NULL) {
        run->reader = PyObject_Call(reader_type, arguments, keywords);
    }
    run->messages = PyList_New(0);
    run->controls = PyList_New(0);
    Py_XDECREF(arguments);
    Py_XDECREF(max_size);
    Py_XDECREF(keywords);
    PyErr_Clear();
    return run->reader != NULL && run->messages != NULL && run->controls != NULL;
}

static void
end_run(Run *run)
{
    Py_CLEAR(run->reader);
    Py_CLEAR(run->messages);
    Py_CLEAR(run->controls);
}

static void
call_more(Run *run)
{
    long state = state_of(run->reader);
    collect(run, PyObject_CallMethodNoArgs(run->reader, more_name), run->messages, state);
}

static void
take_controls(Run *run)
{
    long state = state_of(run->reader);
    collect(run, PyObject_CallMethodNoArgs(run->reader, take_controls_name), run->controls, state);
}

static void
drain(Run *run)
{
    for (int i = 0; i < 100000 && !run->has_failed && (state_of(run->reader) & PENDING); i++) {
        call_more(run);
    }
    REQUIRE(run->has_failed || !run->is_strict || !(state_of(run->reader) & PENDING));
    take_controls(run);
}

static void
feed(Run *run, const uint8_t *data, size_t size)
{
    long state = state_of(run->reader);
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    if (bytes == NULL) {
        PyErr_Clear();
        run->has_failed = 1;
        return;
    }
    collect(run, PyObject_CallMethodOneArg(run->reader, feed_name, bytes), run->messages, state);
    Py_DECREF(bytes);
}

/* Write to the reader's buffer, at most what it offers; returns the number of bytes. */
static size_t
read_into_buffer(Run *run, const uint8_t *data, size_t size, PyObject **kept)
{
    long state = state_of(run->reader);
    PyObject *view = call_with_number(run->reader, get_buffer_name, -1);
    if (view == NULL) {
        REQUIRE(!run->is_strict);
        PyErr_Clear();
        run->has_failed = 1;
        return 0;
    }
    Py_buffer *buffer = PyMemoryView_GET_BUFFER(view);
    REQUIRE(buffer->len > 0 && !buffer->readonly);
    size_t count = size < (size_t)buffer->len ? size : (size_t)buffer->len;
    memcpy(buffer->buf, data, count);
    if (kept != NULL) {
        Py_XSETREF(*kept, view);
    }
    else {
        Py_DECREF(view);
    }
    collect(run, call_with_number(run->reader, received_name, (Py_ssize_t)count), run->messages, state);
    return count;
}

/* ------------------------------------------------------------------------------------------------------------- one input */

static int
are_equal(PyObject *left, PyObject *right)
{
    int equal = PyObject_RichCompareBool(left, right, Py_EQ);
    return equal == 1;
}

static void
require_same(Run *one, Run *other)
{
    REQUIRE(are_equal(one->messages, other->messages));
    REQUIRE(are_equal(one->controls, other->controls));
    PyObject *const names[] = {close_name, violation_name, state_name};
    for (int i = 0; i < 3; i++) {
        PyObject *left = PyObject_GetAttr(one->reader, names[i]), *right = PyObject_GetAttr(other->reader, names[i]);
        REQUIRE(left != NULL && right != NULL && are_equal(left, right));
        Py_DECREF(left);
        Py_DECREF(right);
    }
}

/* Encode the first messages of a run, and read them again. */
static void
require_round_trip(Run *run, int flags)
{
    Run again;
    REQUIRE(start_run(&again, flags, -1, NULL));
    again.is_strict = 1;
    Py_ssize_t count = PyList_GET_SIZE(run->messages);
    count = count < 4 ? count : 4;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *message = PyList_GET_ITEM(run->messages, i);
        PyObject *frame = PyObject_CallFunction(encode_frame, "iOO", PyUnicode_Check(message) ? 0x81 : 0x82, message,
                                                flags & MASKED ? Py_True : Py_False);
        REQUIRE(frame != NULL && PyBytes_Check(frame));
        feed(&again, (const uint8_t *)PyBytes_AS_STRING(frame), (size_t)PyBytes_GET_SIZE(frame));
        Py_DECREF(frame);
    }
    drain(&again);
    PyObject *wanted = PyList_GetSlice(run->messages, 0, count);
    REQUIRE(wanted != NULL && are_equal(wanted, again.messages));
    Py_DECREF(wanted);
    end_run(&again);
}

static size_t
piece_of(uint8_t step, size_t left)
{
    static const size_t sizes[] = {1, 2, 3, 5, 9, 14, 64, 130, 511, 4096, 65536, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    size_t size = sizes[step & 15];
    return size < left ? size : left;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t filler[FILLER];
    static uint8_t *stream;
    static size_t stream_capacity;
    if (size < HEADER) {
        return 0;
    }
    int flags = data[0];
    int kind = flags >> 1 & 3;
    long long limit = !(flags & LIMIT) ? -1 : flags & SMALL_LIMIT ? data[1] : (long long)data[1] * 1031;
    const uint8_t *plan = data + 3, *given = data + HEADER;
    size_t left = size - HEADER, streamed = 0;
    size_t needed = left + MOST_FILLERS * (size_t)FILLER;
    if (stream_capacity < needed) {
        stream = realloc(stream, needed);
        REQUIRE(stream != NULL);
        stream_capacity = needed;
    }
    if (filler[0] == 0) {
        memset(filler, 'f', FILLER);
    }

    Run run;
    if (!start_run(&run, flags, limit, inflate_functions[kind])) {
        REQUIRE(0);
    }
    int is_strict = kind != HOSTILE && !(flags & NO_MEMORY);
    hostile_reader = run.reader;
    hostile_calls = 0;
    PyObject *kept = NULL;
    int fillers = 0;
    if (flags & NO_MEMORY) {
        allocations_left = data[2];
    }
    for (size_t i = 0; left > 0 && i < size * 2; i++) {
        uint8_t step = plan[i % PLAN];
        size_t count = piece_of(step, left);
        /* A view that is kept keeps the buffer in its place: a BufferError at worst. */
        run.is_strict = is_strict && kept == NULL && step >> 4 != 8;
        switch (step >> 4) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
            feed(&run, given, count);
            break;
        case 5:
            call_more(&run);
            continue;
        case 6:
            take_controls(&run);
            continue;
        case 7: /* more bytes than the fuzzer likes to write */
            if (flags & LARGE && fillers++ < MOST_FILLERS) {
                size_t done = 0;
                while (done < FILLER && !run.has_failed) {
                    size_t taken = read_into_buffer(&run, filler + done, FILLER - done, NULL);
                    memcpy(stream + streamed, filler + done, taken);
                    streamed += taken;
                    done += taken;
                }
            }
            continue;
        case 8:
            count = read_into_buffer(&run, given, count, &kept);
            break;
        case 9:
            if (kept != NULL) {
                Py_buffer *buffer = PyMemoryView_GET_BUFFER(kept);
                volatile char *place = buffer->buf; /* it must still be there */
                if (buffer->len > 0) {
                    place[0] = place[0];
                }
                Py_CLEAR(kept);
            }
            continue;
        case 10: { /* a number that was not offered */
            PyObject *result = call_with_number(run.reader, received_name, (Py_ssize_t)(count * 4096) - 1);
            REQUIRE(result == NULL || !run.is_strict);
            Py_XDECREF(result);
            PyErr_Clear();
            continue;
        }
        default:
            count = read_into_buffer(&run, given, count, NULL);
            break;
        }
        memcpy(stream + streamed, given, count);
        streamed += count;
        given += count;
        left -= count;
        if (run.has_failed) {
            allocations_left = -1; /* once: what it left must be in order */
            break;
        }
    }
    allocations_left = -1;
    Py_CLEAR(kept);
    run.is_strict = is_strict && !run.has_failed;
    if (run.has_failed) {
        feed(&run, filler, 300);
        call_more(&run);
    }
    drain(&run);
    if (run.is_strict && left == 0) {
        Run other;
        REQUIRE(start_run(&other, flags, limit, inflate_functions[kind]));
        other.is_strict = 1;
        feed(&other, stream, streamed);
        drain(&other);
        require_same(&run, &other);
        end_run(&other);
        require_round_trip(&run, flags);
    }
    hostile_reader = NULL;
    end_run(&run);
    REQUIRE(!PyErr_Occurred());
    require_no_leak();
    return 0;
}

/* The stacks of allocations are left out: a finding is run again with ASAN_OPTIONS=malloc_context_size=30. */
const char *
__asan_default_options(void)
{
    return "malloc_context_size=0:quarantine_size_mb=16:detect_leaks=0";
}

int
LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    setenv("PYTHONMALLOC", "malloc", 1); /* so that AddressSanitizer sees each object */
    PyImport_AppendInittab("_native", PyInit__native);
    Py_InitializeEx(0);
    PyObject *module = PyImport_ImportModule("_native");
    REQUIRE(module != NULL);
    reader_type = PyObject_GetAttrString(module, "FrameReader");
    encode_frame = PyObject_GetAttrString(module, "encode_frame");
    PyObject *values = Py_BuildValue("{si}", "code", 1007);
    refusal_type = PyErr_NewException("harness.Refusal", PyExc_ValueError, values);
    REQUIRE(reader_type != NULL && encode_frame != NULL && refusal_type != NULL);
    Py_DECREF(module);
    static const struct {
        PyObject **place;
        const char *text;
    } names[] = {
        {&feed_name, "feed"},   {&received_name, "received"}, {&get_buffer_name, "get_buffer"}, {&more_name, "more"},
        {&state_name, "state"}, {&close_name, "close"},       {&violation_name, "violation"},   {&take_controls_name, "take_controls"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].text);
        REQUIRE(*names[i].place != NULL);
    }
    for (int i = DOUBLING; i <= HOSTILE; i++) {
        inflate_functions[i] = PyCFunction_New(&inflates[i], NULL);
        REQUIRE(inflate_functions[i] != NULL);
    }
    limit_memory();
    return 0;
}
