"""A live page of oTree that saves each answer, with its history.

oTree commits when the method has returned and its result is sent, so the acknowledgement comes before the commit.
"""

import json
from typing import Any

from otree.api import BaseConstants, BaseGroup, BasePlayer, BaseSubsession, ExtraModel, Page, models


class C(BaseConstants):
    """The constants that oTree asks for."""

    NAME_IN_URL = "phq9"
    PLAYERS_PER_GROUP = None
    NUM_ROUNDS = 1


class Subsession(BaseSubsession):
    """A round; there is one."""


class Group(BaseGroup):
    """A group; each participant has their own."""


class Player(BasePlayer):
    """The session of a participant."""

    step = models.StringField()
    answers = models.LongStringField(initial="{}")


class Turn(ExtraModel):
    """A turn of the history."""

    player = models.Link(Player)
    step = models.StringField()
    answer = models.StringField()


def creating_session(subsession: Subsession) -> None:
    """Give each participant a group: a live page reads the whole group at each message.

    As ``set_group_matrix`` does, without its commit for each group.
    """
    for number, player in enumerate(subsession.get_players(), 2):
        player.group = Group.objects_create(
            subsession=subsession, id_in_subsession=number, session=subsession.session, round_number=1
        )
        player.id_in_group = 1


class Survey(Page):
    """The page of the survey."""

    @staticmethod
    def live_method(player: Player, message: dict[str, Any]) -> dict[int, dict[str, Any]]:
        """Save an answer and acknowledge it to its participant."""
        step, value = message["step"], message["value"]
        answers = {**json.loads(player.answers), step: value}
        player.step, player.answers = step, json.dumps(answers)
        Turn.create(player=player, step=step, answer=json.dumps(value))
        return {player.id_in_group: {"type": "ack", "id": message["id"], "answers": answers}}


page_sequence = [Survey]
