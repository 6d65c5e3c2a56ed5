"""The same with python-socketio's asyncio server, under the server that its documentation recommends.

``uvicorn benchmarks.peers.socket_socketio:app``, with SESSIONS_FILE. Threads commit, so that the event loop does not
wait for the disk.
"""

import asyncio
from typing import Any

import socketio

from benchmarks.peers.socket_sessions import Sessions

sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio)
sessions = Sessions()


@sio.event
async def connect(sid: str, _environ: dict[str, Any], auth: dict[str, str]) -> None:
    """Send the session's answers."""
    answers = sessions.load(auth["user_id"])
    await sio.save_session(sid, {"user_id": auth["user_id"], "answers": answers})
    await sio.emit("state", {"answers": answers}, to=sid)


@sio.event
async def answer(sid: str, message: dict[str, Any]) -> dict[str, Any]:
    """Save the answer, with its history, before it is acknowledged."""
    async with sio.session(sid) as session:
        session["answers"][message["step"]] = message["value"]
    await asyncio.to_thread(sessions.save, session["user_id"], message["step"], session["answers"])
    return {"type": "ack", "id": message["id"], "answers": session["answers"]}
