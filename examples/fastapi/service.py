"""Surveys in a FastAPI application: saved state of the application's own, and answers under a survey's rules.

pip install stepkeep fastapi uvicorn
uvicorn service:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from stepkeep import Answer, SessionKey
from stepkeep.aio import AsyncDatabase, Rejected, get_database
from stepkeep.errors import StepkeepError, Unavailable


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the database before the first request; commit what was submitted, and close it, after the last one."""
    async with await get_database():
        yield


app = FastAPI(lifespan=lifespan)
DatabaseOfProcess = Annotated[AsyncDatabase, Depends(get_database)]


@app.exception_handler(StepkeepError)
async def report(_: Request, error: StepkeepError) -> JSONResponse:
    """Each error has a stable code and an HTTP status; after 503 the same request is safe again."""
    headers = {"Retry-After": "1"} if isinstance(error, Unavailable) else {}
    return JSONResponse({"code": error.code, "message": str(error)}, error.http_status, headers)


class Basket(BaseModel):
    """State of the application's own, which belongs to no survey file."""

    current_step: str
    answers: dict[str, Any]


@app.put("/baskets/{user_id}")
async def save(user_id: str, basket: Basket, db: DatabaseOfProcess) -> dict[str, bool]:
    """Save the state; the response means that it is committed."""
    return {"saved": await db.save_session(user_id, basket.current_step, basket.answers, [])}


@app.get("/baskets/{user_id}")
async def load(user_id: str, db: DatabaseOfProcess) -> dict[str, Any]:
    """Return the state."""
    session = await db.load_session(user_id)
    if session is None:
        raise HTTPException(404)
    return {"current_step": session["current_step"], "answers": session["answers"]}


class Reply(BaseModel):
    """An answer of a participant.

    Attributes:
        id: chosen by the caller; sent again, the same reply is applied once.
    """

    id: str
    step: str
    value: Any


@app.post("/surveys/{survey_id}/{user_id}/answers")
async def answer(survey_id: str, user_id: str, reply: Reply, db: DatabaseOfProcess) -> dict[str, Any]:
    """Answer a step of a survey; the participant's session begins with the first one."""
    key = SessionKey(survey_id, user_id)
    await db.store.get_or_create(key)
    command = Answer(at=db.store.now(), message_id=reply.id, step=reply.step, value=reply.value)
    result = await db.store.submit(key, command)
    if isinstance(result, Rejected):
        raise HTTPException(422, {"code": result.rejection.code, "message": result.rejection.message})
    state = result.snapshot.state
    return {"version": result.version, "duplicate": result.duplicate, "current_step": state.current_step}
