"""The Studio as tools: what an MCP client finds, and one call over the protocol, with a file on the way in and one out."""

import asyncio
import concurrent.futures
import re

import pytest

from hub_models import midi

from . import raw
from .conftest import serve
from .tiny_models import MELODY

CLIP = {"notes": [[60, 0, 1, 90], [64, 1, 2, 90]], "bars": 2}


@pytest.fixture(scope="module")
def tools(tiny_folder, tmp_path_factory):
    """The address of a Studio that was started with --mcp."""
    with serve(tiny_folder, tmp_path_factory, "--mcp") as address:
        yield address


def with_client(address, use):
    """What `use(session)` gives, a coroutine, with a session of the official client."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run():
        async with (
            streamable_http_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await use(session)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # this thread may have a loop already
        return pool.submit(asyncio.run, run()).result()


def midi_address(answer, address):
    """Where the MIDI file of an answer is; several results are one text."""
    return re.search(rf"{re.escape(address)}/gradio_api/file=[^'\s]+\.mid", answer.content[0].text).group()


def test_every_endpoint_is_a_tool_with_its_text(tools):
    async def list_tools(session):
        return (await session.list_tools()).tools

    listed = {tool.name: tool for tool in with_client(tools, list_tools)}
    with raw.connect(tools) as http:
        endpoints = http.get("/gradio_api/info").json()["named_endpoints"]
    assert {name.strip("/") for name in endpoints} == {name.removeprefix("Encore_Studio_") for name in listed}
    for name, tool in listed.items():
        assert len(tool.description) > 20, name
        for argument, schema in tool.inputSchema["properties"].items():
            assert schema.get("description"), f"{name} does not say what {argument} is"


def test_tools_are_called(tools):
    async def play(session):
        sampled = await session.call_tool("sample", {"model": MELODY, "temperature": 1.0, "seed": 5})
        rendered = await session.call_tool("render", {"clip": CLIP, "tempo": 120, "program": 0})
        found = await session.call_tool("extract", {"model": MELODY, "file": midi_address(rendered, tools)})
        refused = await session.call_tool("sample", {"model": MELODY, "temperature": -1, "seed": 5})
        fetched = await session.call_tool("extract", {"model": MELODY, "file": "http://example.com/tune.mid"})
        return sampled, rendered, found, refused, fetched

    sampled, rendered, found, refused, fetched = with_client(tools, play)
    with raw.connect(tools) as http:
        alone = raw.ask(http, "sample", MELODY, 1.0, 5)[1][0]
        music = midi.load(http.get(midi_address(rendered, tools)).content)
    assert str(alone["tokens"]) in sampled.content[0].text
    assert [note.pitch for note in music.instruments[0].notes] == [60, 64]
    assert not found.isError, found.content
    assert refused.isError
    assert "temperature must be above 0" in refused.content[0].text
    assert fetched.isError
    assert "nothing is fetched" in fetched.content[0].text


def test_without_the_flag_there_are_none(studio):
    with raw.connect(studio) as http:
        assert http.post("/gradio_api/mcp/", json={}).status_code == 404
