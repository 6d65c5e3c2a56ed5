"""The parameters with which a request begins a session."""

from collections.abc import Mapping
from typing import Any

import flask

from ..access import Participant, Principal
from ..survey import Given


def given_parameters(principal: Principal | None, api: Mapping[str, Any] | None = None) -> Given:
    """Return what a request has for a survey's parameters: its address, the caller's invitation, and its body.

    Args:
        api: of an integrator's body.
    """
    invitation = principal.parameters if isinstance(principal, Participant) else {}
    return Given(url=flask.request.args.to_dict(flat=False), invitation=invitation, api=api or {})
