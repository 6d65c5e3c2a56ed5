"""What a column may be called: the rules of SPSS and Stata, and names that are valid and unique under them.

Sources: IBM SPSS Statistics, "Variable Names"; Stata's User's Guide, [U] 11.3 "Naming conventions". Names differ
by more than case under all rules, since SPSS, SQL engines and some file systems don't tell cases apart. Pure.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Naming:
    """The rules of one program for names of letters, digits and underscores.

    Attributes:
        length: characters, and as all are ASCII bytes too.
        reserved: matches, whole and in any case, what no column may be called.
    """

    length: int
    reserved: re.Pattern[str]


PLAIN = Naming(128, re.compile(r"(?!)"))
SPSS = Naming(64, re.compile(r"all|and|by|eq|ge|gt|le|lt|ne|not|or|to|with", re.IGNORECASE))
STATA = Naming(
    32,
    re.compile(
        r"_.*|alias|byte|double|float|if|in|int|long|strL|str[0-9]+|using|with",  # each _name of Stata's, and more
        re.IGNORECASE,
    ),
)


def named(wanted: Iterable[str], naming: Naming) -> list[str]:
    """Return a name for each wanted one, in order: as it is where that is valid and free, else near to it.

    Args:
        wanted: names of ASCII letters, digits and underscores that begin with a letter.
    """
    taken: set[str] = set()
    names = []
    for one in wanted:
        name = _free(one, naming, taken)
        taken.add(name.lower())
        names.append(name)
    return names


def _free(wanted: str, naming: Naming, taken: set[str]) -> str:
    name, number = wanted[: naming.length], 1
    # SPSS takes a name that ends with _ for one of its own.
    while name.lower() in taken or naming.reserved.fullmatch(name) or (name != wanted and name.endswith("_")):
        number += 1
        end = f"_{number}"
        name = wanted[: naming.length - len(end)] + end
    return name
