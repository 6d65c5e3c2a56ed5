"""Texts of a survey file: a string, or a map from language tags to strings.

A survey is parsed once for each language; steps hold plain strings, and the definition the maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ..core.formats import LANGUAGE, MAX_LANGUAGE_LENGTH
from ..core.languages import parents
from .markdown import MarkdownText
from .piping import PipedText

LanguageTag = Annotated[str, Field(pattern=LANGUAGE, max_length=MAX_LANGUAGE_LENGTH)]


@dataclass(frozen=True, slots=True)
class TextLanguage:
    """The language in which a file is parsed: pydantic's validation context."""

    tag: str  # the language wanted
    fallback: str  # the language of plain strings
    is_markdown: bool = False

    def choose(self, texts: Mapping[str, str]) -> str | None:
        """Return the text in the language, its parents (de for de-AT) or the fallback, else the first."""
        by_tag = {tag.lower(): text for tag, text in texts.items()}
        for tag in (*parents(self.tag), *parents(self.fallback)):
            if tag in by_tag:
                return by_tag[tag]
        return next(iter(texts.values()), None)


SOURCES = "sources"  # Pydantic's serialization context for texts as their authors wrote them; without it they are plain


@dataclass(frozen=True, slots=True)
class _InLanguage:
    is_inline: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.with_info_wrap_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(_serialize, info_arg=True),
        )

    def _validate(self, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        text = handler(_choose(value, info))
        is_markdown = isinstance(info.context, TextLanguage) and info.context.is_markdown
        if not isinstance(text, str):
            return text
        if is_markdown:
            return MarkdownText(text, is_inline=self.is_inline)
        return PipedText(text) if "{{" in text else text

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        plain = handler(schema)
        text = next((one for one in plain.get("anyOf", ()) if one.get("type") == "string"), plain)
        texts = {
            "type": "object",
            "additionalProperties": text,
            "propertyNames": {"pattern": LANGUAGE, "maxLength": MAX_LANGUAGE_LENGTH},
            "minProperties": 1,
        }
        return {"anyOf": [*plain.get("anyOf", (plain,)), texts]}


InLanguage = _InLanguage()
OneLine = _InLanguage(is_inline=True)


def is_text_field(field: FieldInfo) -> bool:
    return any(isinstance(one, _InLanguage) for one in field.metadata)


def is_one_line(field: FieldInfo) -> bool:
    return any(isinstance(one, _InLanguage) and one.is_inline for one in field.metadata)


def _serialize(text: str | None, info: SerializationInfo) -> str | None:
    return getattr(text, "source", text) if info.context == SOURCES else text


def _choose(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise PydanticCustomError("text_missing", "the text is missing in every language")
    if isinstance(info.context, TextLanguage) and all(isinstance(text, str) for text in value.values()):
        return info.context.choose(value)
    return value


def with_maps(dumped: Any, document: Any) -> Any:  # noqa: ANN401 - JSON of any kind
    if isinstance(dumped, str) and isinstance(document, Mapping):
        return dict(sorted(document.items()))
    if isinstance(dumped, list) and isinstance(document, list):
        return [with_maps(*pair) for pair in zip(dumped, document, strict=True)]
    if isinstance(dumped, dict) and isinstance(document, Mapping):
        return {name: with_maps(value, document.get(name)) for name, value in dumped.items()}
    return dumped


def computed(value: object) -> str | None:
    """Return the expression of a value that is one ``"{{ CEL }}"``."""
    if not isinstance(value, str) or not (value.startswith("{{") and value.endswith("}}")):
        return None
    return value[2:-2].strip()
