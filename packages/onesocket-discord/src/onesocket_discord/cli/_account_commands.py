"""``onesocket serve user``, ``bot`` and ``invite``: the accounts of a server, for its owner."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from onesocket._printable import printable

from ._control_client import DatabaseOption, DataOption, manage

_DAY = 86_400

PersonArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person.")]
BotArgument = Annotated[str, typer.Argument(metavar="NAME", help="The bot.")]
AccountArgument = Annotated[str, typer.Argument(metavar="NAME", help="A person or a bot.")]
NewNameArgument = Annotated[str, typer.Argument(metavar="NAME", help="2 to 32 characters; not taken yet.")]


class _AddsByDefault(TyperGroup):
    """Commands of which `add` may be left out: ``onesocket serve bot robo``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # the class of contexts is a private one of Typer
        """Put `add` in front of what begins with no command."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["add", *args]
        return super().parse_args(ctx, args)


report_app = typer.Typer(help="Reported messages: list and close the reports.", no_args_is_help=True)
user_app = typer.Typer(help="People and bots: list, add and remove them, change a password.", no_args_is_help=True)
bot_app = typer.Typer(
    cls=_AddsByDefault,
    help="Bots: make one (NAME, or add NAME), list and remove them, renew a token.",
    no_args_is_help=True,
)


@user_app.command("list")
def list_users(*, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Print each account: its id, whether it is a bot, how many logins it has, and its name."""
    _print_accounts(manage(data, database, "users/list", {})["users"])


@user_app.command("add")
def add_user(name: NewNameArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Make an account for a person, whoever else may register; the first one owns the server's guild.

    The password is asked for, or read from standard input if that is no terminal.
    """
    body = {"name": name, "password": _read_password(f"Password for {name}")}
    manage(data, database, "users/add", body, makes_database=True)


@user_app.command()
def passwd(name: PersonArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Give a person another password. They are signed out everywhere.

    It is asked for, or read from standard input if that is no terminal.
    """
    body = {"name": name, "password": _read_password(f"New password for {name}")}
    manage(data, database, "users/passwd", body)


@user_app.command()
def promote(name: AccountArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Make a member of the server's guild a moderator: may remove and ban, delete messages and manage channels."""
    added = manage(data, database, "users/promote", {"name": name}).get("added_permissions")
    if added:
        typer.echo(
            f"{printable(name)} may more than moderators may at first: their role was also given {', '.join(added)} in "
            "the chat. Take that from the role there, or the role from them: onesocket serve user demote",
            err=True,
        )


@user_app.command()
def demote(name: AccountArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Take the role of a moderator from a member of the server's guild."""
    manage(data, database, "users/demote", {"name": name})


@user_app.command("ban")
def ban_user(name: AccountArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Ban an account from the server: signed out everywhere, it can't sign in. It stays in its guilds."""
    manage(data, database, "users/ban", {"name": name})


@user_app.command("unban")
def unban_user(name: AccountArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Let a banned account sign in again. A bot needs a new token: `onesocket serve bot renew`."""
    manage(data, database, "users/unban", {"name": name})


@user_app.command("remove")
def remove_user(name: AccountArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Remove an account: signed out everywhere, out of every guild, its name free again. Its messages stay."""
    manage(data, database, "users/remove", {"name": name})


class PrivilegedIntent(enum.StrEnum):
    """The values of ``--deny``."""

    MESSAGE_CONTENT = "message-content"
    MEMBERS = "members"
    PRESENCES = "presences"
    NONE = "none"


PublicOption = Annotated[
    bool | None,
    typer.Option("--public/--private", help="Whether others may add it to their guilds, or its owner alone."),
]
OwnerOption = Annotated[str | None, typer.Option(metavar="NAME", help="The person whose bot it is.")]
DenyOption = Annotated[
    list[PrivilegedIntent] | None,
    typer.Option(help="A privileged intent that it may not use, as in Discord's portal; may be repeated."),
]


@bot_app.command("add")
def add_bot(
    name: NewNameArgument,
    *,
    owner: OwnerOption = None,
    public: PublicOption = None,
    deny: DenyOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make a bot and print its token. It is shown this once. It is public, and may use all intents, unless you say so.

    Works while the server runs, and while it doesn't.
    """
    body = {"name": name, **_bot_settings(owner, public, deny)}
    typer.echo(manage(data, database, "bots/add", body, makes_database=True)["token"])


@bot_app.command("edit")
def edit_bot(
    name: BotArgument,
    *,
    owner: OwnerOption = None,
    public: PublicOption = None,
    deny: DenyOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Change who may add a bot to guilds, its owner, or the intents that it may not use (`--deny none`: all it may).

    Without an intent that it had, its sessions end, and an Identify that asks for it is refused; HTTP obeys, too.
    """
    settings = _bot_settings(owner, public, deny)
    if not settings:
        raise typer.BadParameter("there is nothing to change: give --owner, --public, --private or --deny")
    manage(data, database, "bots/edit", {"name": name, **settings})


@bot_app.command("list")
def list_bots(*, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Print each bot: its id, how many tokens it has, and its name."""
    _print_accounts(one for one in manage(data, database, "users/list", {})["users"] if one["bot"])


@bot_app.command("renew")
def renew_bot(name: BotArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Give a bot a new token, and print it. The old one is void: its connections are closed with 4004."""
    typer.echo(manage(data, database, "bots/renew", {"name": name})["token"])


@bot_app.command("remove")
def remove_bot(name: BotArgument, *, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Remove a bot: its token void, out of every guild, its name free again. Its messages stay."""
    manage(data, database, "bots/remove", {"name": name})


@report_app.command("list")
def list_reports(*, data: DataOption = None, database: DatabaseOption = None) -> None:
    """Print the open reports: id, time, who wrote the message, who reported it and why, and the message as it was."""
    for one in manage(data, database, "reports/list", {})["reports"]:
        who = f"{one['author']}, reported by {one['reporter']}"
        typer.echo(f"{one['id']}  {one['created_at']}  {who}: {printable(one['reason'])}")
        typer.echo(f"    {printable(one['content'])}")


@report_app.command("close")
def close_report(
    report: Annotated[str, typer.Argument(metavar="ID", help="As `report list` prints it.")],
    *,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Close a report."""
    manage(data, database, "reports/close", {"id": report})


def invite(
    *,
    days: Annotated[float, typer.Option(min=0, max=365, help="For how long it is valid; 0: for ever.")] = 7.0,
    uses: Annotated[int, typer.Option(min=0, max=1000, help="How many may use it; 0: any number.")] = 1,
    data: DataOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make an invite to the server's guild, and print its code: for whoever registers with --registration invite."""
    body = {"max_age": round(days * _DAY), "max_uses": uses}
    typer.echo(manage(data, database, "invites/add", body, makes_database=True)["code"])


def _bot_settings(owner: str | None, public: bool | None, deny: list[PrivilegedIntent] | None) -> dict[str, Any]:
    """The settings that are given, as the server's owner's operations name them."""
    from ..protocol._intents import Intents

    bits = {
        PrivilegedIntent.MESSAGE_CONTENT: Intents.MESSAGE_CONTENT,
        PrivilegedIntent.MEMBERS: Intents.GUILD_MEMBERS,
        PrivilegedIntent.PRESENCES: Intents.GUILD_PRESENCES,
    }
    named = set(deny or ())
    if PrivilegedIntent.NONE in named and len(named) > 1:
        raise typer.BadParameter("none goes with no other intent", param_hint="--deny")
    denied = sum(int(bits[one]) for one in named - {PrivilegedIntent.NONE}) if named else None
    given = {"owner": owner, "public": public, "denied_intents": denied}
    return {name: value for name, value in given.items() if value is not None}


def _print_accounts(accounts: Iterable[dict[str, Any]]) -> None:
    for one in accounts:
        kind = "bot" if one["bot"] else "person"
        name = one["username"] + ("  (banned)" if one["banned"] else "")
        typer.echo(f"{one['id']}  {kind:6}  {one['logins']:3}  {name}")


def _read_password(prompt: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
