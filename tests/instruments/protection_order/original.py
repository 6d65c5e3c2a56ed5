"""The rules of `survey-qualify.json`: `visibleIf` of its panels and questions. An infotext with "Continue" must be seen."""

from tests.instruments.oracle import Ending, Given, Item, Original, Rule

YES_NO = {"y": True, "n": False}


def unsafe(given: Given) -> bool:
    return bool(given["unsafe"] == "y")


def partner(given: Given) -> bool:
    """`childrenPanel`."""
    return unsafe(given) and given["unsafePartner"] == "y"


def existing_panel(given: Given) -> bool:
    return partner(given) and (given["eitherHaveChildren"] == "n" or given["childrenHaveOtherGuardians"] == "n")


def made_here(given: Given) -> bool:
    return existing_panel(given) and given["existingPOR"] == "y" and given["existingPORBC"] == "y"


def made_elsewhere(given: Given) -> bool:
    return existing_panel(given) and given["existingPOR"] == "y" and given["existingPORBC"] == "n"


def of(court: str) -> Rule:
    return lambda given: made_here(given) and given["existingPORBCCourt"] == court


def confirm_panel(given: Given) -> bool:
    return existing_panel(given) and (
        given["existingPOR"] == "n"
        or made_elsewhere(given)
        or (of("provincial")(given) and given["existingPORBCProvincialExpired"] == "y")
        or (of("supreme")(given) and given["existingPORBCSupremeExpired"] == "y")
    )


def yes_no(name: str, at: str, shown: Rule | None) -> Item:
    return Item(id=name, at=at, answers=("y", "n"), codes=YES_NO, shown=shown)


def text(name: str, at: str, shown: Rule | None) -> Item:
    return Item(id=name, at=at, answers=(None,), required=False, shown=shown)


ENDS: dict[int, Rule] = {
    0: lambda given: given["unsafe"] == "n",  # explanationUnsafe
    1: lambda given: given["unsafePartner"] == "n",  # explanationUnsafePartnerNo
    2: lambda given: given["childrenHaveOtherGuardians"] == "y",  # explanationChildrenHaveOtherGuardiansYes
    3: lambda given: given["existingPORBCProvincialExpired"] == "n",  # explanationExistingPORBCProvincialExpiredNo
    4: lambda given: given["existingPORBCSupremeExpired"] == "n",  # explanationExistingPORBCSupremeExpiredNo
    5: confirm_panel,
}


def ending(given: Given) -> Ending:
    (place,) = [place for place, rule in ENDS.items() if rule(given)]
    return Ending(place)


ORIGINAL = Original(
    items=[
        text("explanationQualifying", "about", None),
        yes_no("unsafe", "unsafe", None),
        yes_no("unsafePartner", "partner", unsafe),
        yes_no("eitherHaveChildren", "children", partner),
        yes_no("childrenHaveOtherGuardians", "guardians", lambda given: given["eitherHaveChildren"] == "y"),
        yes_no("existingPOR", "has_order", existing_panel),
        yes_no("existingPORBC", "made_here", lambda given: existing_panel(given) and given["existingPOR"] == "y"),
        Item(id="existingPORBCCourt", at="court", options=("provincial", "supreme"), shown=made_here),
        text("explanationExistingPORBCNo", "made_elsewhere", made_elsewhere),
        yes_no("existingPORBCProvincialExpired", "provincial_expired", of("provincial")),
        text(
            "explanationExistingPORBCProvincialExpiredYes",
            "apply_again",
            lambda given: of("provincial")(given) and given["existingPORBCProvincialExpired"] == "y",
        ),
        yes_no("existingPORBCSupremeExpired", "supreme_expired", of("supreme")),
        text(
            "explanationExistingPORBCSupremeExpiredYes",
            "other_court",
            lambda given: of("supreme")(given) and given["existingPORBCSupremeExpired"] == "y",
        ),
        Item(
            id="PORConfirmed",
            at="confirmed",
            answers=(["confirmed"],),
            options=("confirmed",),
            shown=confirm_panel,
        ),
    ],
    ending=ending,
    endings=tuple(ENDS),
)
