"""What could find or name a person: names of columns, and values.

Names are compared word by word, in the large languages of shops. Values are e-mail and web
addresses, telephone numbers (the library phonenumbers, of any country) and long numbers such as
those of cards. docs/bring-your-own-data.md has a table of what is caught, and what is not.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import chain, pairwise

# By language: words of a column's name, in lower case and without accents.
_WORDS = {
    "English": "name firstname lastname surname fullname username nickname forename initials mail "
    "email phone telephone tel mobile cell fax address addr street zip zipcode postcode postal "
    "birth birthday birthdate dob ssn passport iban card ip latitude longitude lat lon lng gps "
    "device imei note notes comment comments message freetext password",
    "German": "vorname nachname familienname benutzername anrede telefon handy mobilnummer adresse "
    "anschrift strasse hausnummer plz postleitzahl geburtstag geburtsdatum ausweis konto "
    "bemerkung kommentar notiz passwort steuernummer",
    "French": "nom prenom pseudo courriel telephone portable adresse rue codepostal naissance "
    "anniversaire passeport carte commentaire remarque motdepasse",
    "Spanish": "nombre apellido apellidos usuario correo telefono movil celular direccion calle "
    "codigopostal nacimiento cumpleanos dni nif pasaporte tarjeta comentario nota contrasena",
    "Portuguese": "nome sobrenome apelido usuario telefone celular endereco morada rua cep "
    "nascimento aniversario cpf passaporte cartao comentario senha",
    "Italian": "nome cognome telefono cellulare indirizzo nascita compleanno codicefiscale "
    "passaporto carta commento nota",
    "Dutch": "naam voornaam achternaam gebruikersnaam telefoon mobiel adres straat huisnummer "
    "geboortedatum geboorte bsn paspoort opmerking wachtwoord",
    "Polish": "imie nazwisko telefon komorka adres ulica kodpocztowy urodzenia pesel paszport "
    "komentarz uwagi haslo",
    "Turkish": "isim soyad soyadi telefon eposta adres sokak postakodu dogum dogumtarihi "
    "tckimlik pasaport yorum sifre",
    "Swedish, Danish and Norwegian": "namn navn fornamn fornavn efternamn efternavn etternavn "
    "telefonnummer adress gata gade gate postnummer personnummer cprnummer fodelsedatum "
    "fodselsdag fodselsdato losenord",
    "Russian": "имя фамилия отчество телефон почта адрес улица индекс рождения паспорт инн "
    "комментарий пароль",
    "Arabic": "الاسم اسم الهاتف هاتف جوال البريد العنوان عنوان",
}
# Scripts whose words cannot be told apart by spaces or word characters.
_PARTS = {
    "Chinese": "姓名 名字 电话 手机 邮箱 地址 邮编 生日 身份证 备注",
    "Japanese": "氏名 名前 電話 携帯 メール 住所 郵便番号 生年月日 備考",
    "Korean": "이름 성명 전화 휴대폰 이메일 주소 우편번호 생년월일 주민등록번호",
    "Hindi": "नाम फोन मोबाइल ईमेल पता जन्मतिथि",
}
_PERSONAL = frozenset(word for words in _WORDS.values() for word in words.split())
_PERSONAL_PARTS = tuple(part for parts in _PARTS.values() for part in parts.split())
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")

_ADDRESS = re.compile(r"@|://")
_LONG_NUMBER = re.compile(r"\+?\(?\d(?:[ ()./-]{0,2}\d){8,}")
_FRACTION = re.compile(r"[+-]?\d*[.,]\d+(?:[eE][+-]?\d+)?")
_TIME = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{8})"
    r"(?:[T ]\d{1,2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?)?"
)
_CARD_DIGITS = 13
# A range of two short numbers, such as years.
_RANGE = re.compile(r"\d{1,6} ?- ?\d{1,6}")


def looks_personal(column: str) -> str:
    """The word of a column's name that looks personal, or ''.

    Names are split at `_`, `-`, `.`, spaces and camelCase humps.

    >>> looks_personal("contactEmail"), looks_personal("E-Mail"), looks_personal("household_size")
    ('email', 'mail', '')
    >>> looks_personal("Straße"), looks_personal("Code postal"), looks_personal("用户电话")
    ('strasse', 'postal', '电话')
    """
    spelled = column.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("ł", "l")
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", spelled)
        if unicodedata.category(letter) != "Mn"
    )
    words = [word.lower() for word in _WORD.findall(plain)]
    pairs = [a + b for a, b in pairwise(words)]
    named = (word for word in (*words, *pairs) if word in _PERSONAL)
    held = (part for part in _PERSONAL_PARTS if part in column)
    return next(chain(named, held), "")


@lru_cache(maxsize=65536)
def holds_personal(value: str) -> bool:
    """Whether a value holds an e-mail or web address, a telephone number or another long number.

    Numbers with a fraction, dates, times and ranges of short numbers are none.
    """
    text = value.strip()
    if _ADDRESS.search(text):
        return True
    if any(form.fullmatch(text) for form in (_FRACTION, _TIME, _RANGE)):
        return False
    return any(_is_a_persons(found.group()) for found in _LONG_NUMBER.finditer(text))


def _is_a_persons(number: str) -> bool:
    """Whether nine digits or more, with separators or without, are the number of a telephone, a
    card or an account.

    Digits without a separator may be an account's, and as many as a card has are taken for a
    card's. `+` and brackets are written in telephone numbers alone. All others have to be a valid
    telephone number of some country.
    """
    import phonenumbers

    digits = re.sub(r"\D", "", number)
    if len(digits) >= _CARD_DIGITS or digits == number or "+" in number or "(" in number:
        return True
    return any(
        phonenumbers.is_valid_number(phonenumbers.parse(number, region))
        for region in phonenumbers.SUPPORTED_REGIONS
    )
