"""`/tokens`: who may do what. For admins; the secret of a token is in one answer, that of its making, and nowhere else."""

from __future__ import annotations

from aiohttp import web

from awlog.api import wire
from awlog.api.answer_bodies import EmptyBody, NewTokenBody, TokensBody, token_body
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, described
from awlog.model.access import parse_grant
from awlog.model.commands import RequireTokens, RevokeToken
from awlog.model.times import parse_timestamp


@described(Operation(TokensBody))
async def list_tokens(call: Call) -> web.StreamResponse:
    """All tokens without their secrets, and whether one is needed."""
    tokens = [token_body(token) for token in call.engine.tokens.all()]
    return call.json(wire.encode(TokensBody(call.engine.tokens.are_required, tokens)))


@described(
    Operation(
        NewTokenBody,
        bodies=(Body(wire.CreateTokenBody, {"name": "browser", "scopes": ["append:aw-watcher-web*"]}),),
    )
)
async def create_token(call: Call) -> web.StreamResponse:
    """Makes a token and shows its secret, this once. From the first one on every request needs a token."""
    body = wire.decode(wire.CREATE_TOKEN, await call.json_body())
    grants = [parse_grant(text) for text in body.scopes]
    expires_us = None if body.expires is None else parse_timestamp(body.expires)
    secret, token = await call.engine.tokens.create(body.name, grants, expires_us, body.device)
    return call.json(wire.encode(NewTokenBody(secret, token_body(token))))


@described(Operation(wire.RequiredBody, bodies=(Body(wire.RequiredBody, {"required": True}),)))
async def require_tokens(call: Call) -> web.StreamResponse:
    """Says whether requests need a token, `{"required": false}` for example; the tokens stay as they are."""
    body = wire.decode(wire.REQUIRED, await call.json_body())
    await call.engine.submit(RequireTokens(body.required))
    return call.json(wire.encode(wire.RequiredBody(call.engine.tokens.are_required)))


@described(Operation(EmptyBody))
async def revoke_token(call: Call) -> web.StreamResponse:
    """Revokes a token, at once and for ever."""
    await call.engine.submit(RevokeToken(call.params["token_id"]))
    return call.json(b"{}")
