"""The chat's page in odd circumstances: odd files, odd addresses, another database, a slow network."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import person, serve_process

pytestmark = pytest.mark.timeout(120)


def sparse_file(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


async def test_odd_files_are_sent_or_refused_with_a_reason(
    server: ChatServer, chromium: Browser, tmp_path: Path
) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        choose, notice = ada.page.locator(".composer input[type=file]"), ada.page.locator(".notice")
        await choose.set_input_files(sparse_file(tmp_path / "large.bin", 100_000_000))
        await expect(notice).to_contain_text("large.bin has 100 MB; at most 8.0 MB can be sent.")
        # Of all together the server takes 24 MB: more would be sent again and again, in vain.
        for number in range(4):
            await choose.set_input_files(sparse_file(tmp_path / f"{number}.bin", 7_900_000))
        await expect(notice).to_contain_text("The files of one message have at most 24 MB together.")
        await expect(ada.page.locator(".chosen-files .file")).to_have_count(3)
        for _ in range(3):
            await ada.page.locator(".chosen-files button").first.click()
        await choose.set_input_files(sparse_file(tmp_path / "empty.txt", 0))
        await ada.write("an empty file")
        await ada.sent("an empty file")
        await expect(ada.message("an empty file").locator("a.file")).to_contain_text("empty.txt")
        # One that is deleted after it was chosen.
        gone = sparse_file(tmp_path / "gone.txt", 5)
        await choose.set_input_files(gone)
        await expect(ada.page.locator(".chosen-files .file")).to_contain_text("gone.txt")
        gone.unlink()
        await ada.write("with a file that is gone")
        failed = ada.page.locator("article.is-failed")
        await expect(failed).to_contain_text("gone.txt can’t be read any more. Choose it again.")
        await failed.get_by_role("button", name="Discard").click()
        await ada.field.fill("")
        await ada.write("the next one is not held up")
        await ada.sent("the next one is not held up")


async def test_a_folder_that_is_dropped_is_refused_and_a_file_beside_it_taken(
    server: ChatServer, chromium: Browser, tmp_path: Path
) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        folder = tmp_path / "folder"
        folder.mkdir()
        file = sparse_file(tmp_path / "file.txt", 5)
        session = await ada.page.context.new_cdp_session(ada.page)
        data = {"items": [], "files": [str(folder), str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await session.send("Input.dispatchDragEvent", {"type": kind, "x": 500, "y": 300, "data": data})
        await expect(ada.page.locator(".notice")).to_contain_text("Folders can’t be sent.")
        await expect(ada.page.locator(".chosen-files .file")).to_have_count(1)
        await expect(ada.page.locator(".chosen-files .file")).to_contain_text("file.txt")


async def test_an_address_of_a_message_that_is_gone_says_so_and_goes_on(server: ChatServer, chromium: Browser) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada", new=True)
        await ada.write("the only one")
        await ada.sent("the only one")
        place = await ada.page.evaluate("location.pathname")
        for odd in ("1", "abc", "%22%3E%3Cscript%3E"):
            await ada.page.goto(f"{server.page_url.rstrip('/')}{place}/{odd}")
            await ada.connected()
            await expect(ada.page.locator(".notice", has_text="This message is not there any more.")).to_be_visible()
            await ada.write(f"after {odd}")
            await ada.sent(f"after {odd}")


async def test_a_server_with_another_database_asks_to_sign_in_again(tmp_path: Path, chromium: Browser) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with serve_process(tmp_path / "one") as server, person(chromium, server.url) as ada:
        await ada.sign_in("ada", new=True)
        await server.kill()
        await ada.write("for the old one")
        server.directory = tmp_path / "two"
        await server.start()
        await expect(ada.page.get_by_role("alert")).to_have_text("You were signed out. Sign in again.")
        await ada.page.get_by_role("button", name="Create an account").click()
        await ada.sign_in_here("ada")
        await ada.write("for the new one")
        await ada.sent("for the new one")
        assert "for the old one" not in await ada.texts()  # another account's, by its id


async def test_an_answer_that_breaks_off_is_told_and_can_be_asked_for_again(
    server: ChatServer, chromium: Browser
) -> None:
    token = await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        general = (await bob.guild_channels((await bob.guilds())[0]["id"]))[0]["id"]
        await bob.send_message(general, "said before")
        answers = ["<html>Sign in to this network</html>"]

        async def portal(route: Route) -> None:
            if route.request.method == "GET" and answers:
                await route.fulfill(status=200, body=answers.pop(), content_type="text/html")
            else:
                await route.continue_()

        await ada.page.route("**/messages?limit=*", portal)
        await ada.sign_in("ada", new=True)
        await expect(ada.page.locator(".notice")).to_contain_text("Messages were not loaded")
        await ada.page.locator("nav.sidebar a.channel").first.click()
        await expect(ada.message("said before")).to_be_visible()
        await expect(ada.page.locator(".notice")).to_have_count(0)
