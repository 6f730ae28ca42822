"""Personal data in a text, replaced by the name of its kind: `(email)`, `(phone)` and the like.

Finds patterns with check digits, without a model, so names of people are not found. The other
choices: docs/decisions/0011-guards-of-a-prompt.evidence.md.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of personal data. pattern: finds candidates; those that `check` refuses stay.

    A group `value` limits what is replaced; without one it is the whole match.
    """

    name: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = bool


def mask(text: str) -> str:
    """`text` with each piece of personal data replaced by the name of its kind in brackets.

    Finds e-mail addresses, IBANs, payment card numbers, US social security numbers, IP addresses,
    birth dates (after a word such as `born`), telephone numbers (with a country code, in the North
    American form, or after a word such as `tel`) and street addresses in English, French, German
    and Spanish. Masking twice changes nothing more.

    >>> mask("Refunds: ann.lee@example.org, call (212) 555-0187")
    'Refunds: (email), call (phone)'
    """
    if not _MAY_HOLD_SOME.search(text):
        return text
    for kind in _KINDS:
        text = kind.pattern.sub(lambda match, kind=kind: _replaced(match, kind), text)  # type: ignore[misc]
    return text


def _replaced(match: re.Match[str], kind: Kind) -> str:
    whole = match.group()
    value = match.groupdict().get("value") or whole
    return whole.replace(value, f"({kind.name})") if kind.check(value) else whole


def _is_card(text: str) -> bool:
    """Whether the digits pass Luhn's check."""
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616: the number modulo 97 is 1)."""
    plain = text.replace(" ", "").upper()
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _pattern(text: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(text, re.VERBOSE | flags)


_EMAIL = r"""
    (?<! [\w.+-] ) [\w.+-]+ \s? (?: [@＠] | [\[({] \s? at \s? [\])}] ) \s?
    [\w-]+ (?: (?: \. | \s? [\[({]? \b dot \b [\])}]? \s? ) [\w-]+ )+
"""
_IBAN = (
    r"\b [A-Z]{2} \d{2} (?: (?: \ [A-Z0-9]{4} ){2,7} (?: \ [A-Z0-9]{1,3} )? | [A-Z0-9]{11,30} ) \b"
)
_CARD = r"""
    (?<! [\d-] ) (?:
        (?: 4\d{3} | 5[1-5]\d\d | 2[2-7]\d\d | 6(?:011|5\d\d) )
        (?P<gap> [ -]? ) \d{4} (?P=gap) \d{4} (?P=gap) \d{4}
      | 3[47]\d\d [ -]? \d{6} [ -]? \d{5}
      | 3(?:0[0-5]|[68]\d)\d [ -]? \d{6} [ -]? \d{4}
    ) (?! [\d-] )
"""
_SOCIAL_SECURITY = (
    r"(?<! [\d-] ) (?! 000 | 666 | 9 ) \d{3} - (?! 00 ) \d\d - (?! 0000 ) \d{4} (?! [\d-] )"
)
_BIRTH_DATE = r"""
    \b (?: born | date\ of\ birth | dob | birth\ ?date | birthday | geboren | geb\. | née?
      | naissance | nacid[oa] | nacimiento )
    (?! \w ) :? \s* (?: (?: on | am | le | el ) \s+ )?
    (?P<value> \d{1,4} (?: [./-] \d{1,2} [./-] | \.?\s [^\W\d]{3,9} \.?\s ) \d{1,4}
      | [^\W\d]{3,9} \.?\s \d{1,2} ,?\s \d{4} ) (?! \d )
"""
_IP = r"""
    (?<! [\d.] ) \d{1,3} (?: \. \d{1,3} ){3} (?! \.?\d )
  | (?<! [\w:] ) (?= [a-f]*\d ) [0-9a-f]{3,4} (?: : [0-9a-f]{0,4} ){2,7} (?! [\w:] )
"""
_INTERNATIONAL = r"(?<! [\w+] ) \+ (?: \d [ ().\/-]{0,2} ){7,14} \d (?! \d )"
_NORTH_AMERICAN = r"""
    (?<! [\d.(-] ) (?: \+?1 [ .-] )?
    (?: \( [2-9]\d\d \) \ ? | [2-9]\d\d [.-] ) [2-9]\d\d [.-] \d{4} (?! [\d-] )
"""
_AFTER_A_WORD = r"""
    \b (?: tel | telephone | phone | call | fax | whatsapp | telefon | tél | téléphone | teléfono )
    \b [.:]? \s* (?: (?: number | no | us | at | on ) \b [.:]? \s* ){0,2}
    (?P<value> \(? \d (?: [ ().\/-]{0,2} \d ){6,13} )
"""
# A size is a number before words too, so short forms ("dr", "ct", "st") need an address's looks.
_STREET = r"""
    \b \d{1,5}[a-z]? ,? \s+ (?: (?! st\b | way\b ) [^\W\d]{2,} \.? \s+ ){1,3}
    (?: street | avenue | boulevard | road ) \b
  | \b \d{1,5}[a-z]? \s+ (?: the \s+ )? (?: rue | chemin | allée | impasse ) \s+
    (?: (?: de | du | des | la | le ) \s+ | [dl]['’] )* [^\W\d]{2,}
  | \b [^\W\d]{3,} (?: straße | strasse | straat | str\. | gasse | allee ) \s* \d{1,4}[a-z]? \b
  | \b (?: calle | avenida ) \s+ (?: [^\W\d]+ \s+ ){0,3} [^\W\d]+ ,? \s+ \d{1,4} \b
  | \b p\.? \s? o\.? \s? box \s+ \d+
"""
_STREET_BY_LOOKS = r"""
    \b \d{1,5}[A-Z]? \s+ (?: [NSEW]\.? \s+ )?
    (?: (?! (?: Oz | Lb | Ct | Pk ) \b ) [A-Z][a-z]+ \s+ ){1,3}
    (?: St | Ave | Rd | Blvd | Dr | Drive | Ln | Lane | Ct | Court
      | Pl | Place | Way | Terrace | Sq | Square )
    \b \.? (?= \s* (?: $ | [,;)] | (?: NW|NE|SW|SE|Apt|Unit|Suite ) \b ) )
"""
# Every pattern needs one of these; most titles have none.
_MAY_HOLD_SOME = re.compile(r"[\d@＠\[({]")
_KINDS = (
    Kind("email", _pattern(_EMAIL)),
    # Without ASCII, `İ` is a letter of A to Z in another case, and no digit to base 36.
    Kind("iban", _pattern(_IBAN, re.IGNORECASE | re.ASCII), _is_iban),
    Kind("card", _pattern(_CARD), _is_card),
    Kind("ssn", _pattern(_SOCIAL_SECURITY)),
    Kind("ip", _pattern(_IP), _is_address),
    Kind("birth date", _pattern(_BIRTH_DATE)),
    Kind("phone", _pattern(_INTERNATIONAL)),
    Kind("phone", _pattern(_NORTH_AMERICAN)),
    Kind("phone", _pattern(_AFTER_A_WORD)),
    Kind("street", _pattern(_STREET)),
    Kind("street", _pattern(_STREET_BY_LOOKS, 0)),
)
