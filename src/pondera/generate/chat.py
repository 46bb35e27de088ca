"""A client for OpenAI-compatible chat completions: many requests side by side, failures tried again, limits kept.

Services fail in every way: overload, restarts, cut connections, replies that are none. A request is tried again
behind an exponential back-off with full jitter, so that many clients do not return in step; what cannot succeed is not
tried again. The API key is read from the environment when it is needed; it is in no attribute, message or file.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pondera.errors import ConfigError, MissingExtra
from pondera.generate.chat_address import DEFAULT_KEY_ENV, check_address, read_key, without_key
from pondera.generate.chat_budget import Budget
from pondera.generate.chat_pace import Deadline, Pace, retry_after_s
from pondera.generate.chat_reply import (
    AnotherModel,
    BadReply,
    ChatReply,
    ChatRequest,
    LimitReached,
    RequestFailed,
    RequestNotes,
    ServiceRefused,
    error_words,
    is_about_content,
    num_chars,
    read_reply,
    usage_in,
)
from pondera.generate.chat_stream import Outcome, stream

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "Budget",
    "ChatClient",
    "ChatReply",
    "ChatRequest",
    "Deadline",
    "LimitReached",
    "Outcome",
    "RequestFailed",
    "ServiceRefused",
]

_FIRST_TRIES = 4  # against a service that never answered: a wrong address or name should not cost minutes
_REFUSED = {401, 402, 403, 404, 405}  # about the caller or the model, not about one request
_AGAIN = {408, 409, 425, 429}  # and everything from 500
# What a reply may hold, whatever `max_reply_bytes` allows: it is recorded, and a service may ignore `max_tokens`.
_ENVELOPE_BYTES, _TOKEN_BYTES = 65_536, 256
_TAIL_BYTES = 4096  # kept of a longer one: at the end most services say what it cost
_LOOK_S = 0.01  # between looks whether there is money for one more request
_TOKEN_CHARS = 3  # few enough to not underrate the tokens of a text


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class _Failure:
    words: str
    asked_s: float | None


class ChatClient:
    """Chat completions from one model behind one address.

    Limits of rate, cost and time hold over the client's life. Requests under way when a limit is reached are finished,
    because they are paid for.

    Args:
        base_url: such as http://127.0.0.1:8000/v1; `/chat/completions` is added.
        model: its name on the service.
        api_key_env: name of the environment variable with the key; "" or an unset variable sends none.
        concurrency: requests under way at a time, >= 1.
        tries: how often a request is sent at most, >= 1.
        timeout_s: for one try, from connecting to the last byte.
        total_timeout_s: from the first request to the end of the last; None is no limit.
        max_rate: requests a minute, retries included; None is no limit.
        prices: of a million prompt tokens and a million completion tokens; needed for `max_cost`.
        max_cost: limit of what is spent, in the unit of the prices, on replies that say what they used, accepted or
            not. A try is begun only when it still fits with all its `max_tokens` and the longest prompt so far; the
            first goes alone, because nobody knows what images cost.
        budget: one that is shared with other clients, in place of `max_cost`.
        deadline: likewise, in place of `total_timeout_s`.
        max_reply_bytes: a longer reply is cut off and counts as a failure; one of more than 64 KiB and 256 bytes for
            each of `max_tokens` is read to its end, but not kept, and counts as one too.
        backoff_s: bound of the wait behind the first failure; it doubles with each.
        max_wait_s: longest wait between tries. A service that asks for a longer one (Retry-After) ends the request.
        max_failures: so many requests failing in a row end the work.
        accepted_models: further names under which the model may answer.

    Raises:
        ConfigError: an argument is out of range, or the key would leave the machine unencrypted.
        MissingExtra: httpx2 is not installed.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key_env: str = DEFAULT_KEY_ENV,
        concurrency: int = 8,
        tries: int = 12,
        timeout_s: float = 300.0,
        total_timeout_s: float | None = None,
        max_rate: float | None = None,
        prices: tuple[float, float] | None = None,
        max_cost: float | None = None,
        budget: Budget | None = None,
        deadline: Deadline | None = None,
        max_reply_bytes: int = 4 << 20,
        backoff_s: float = 0.5,
        max_wait_s: float = 60.0,
        max_failures: int = 20,
        accepted_models: Sequence[str] = (),
    ) -> None:
        _check_positive(
            concurrency=concurrency,
            tries=tries,
            timeout_s=timeout_s,
            max_rate=max_rate,
            max_reply_bytes=max_reply_bytes,
            backoff_s=backoff_s,
            max_wait_s=max_wait_s,
            max_failures=max_failures,
        )
        if max_cost is not None and budget is not None:
            raise ConfigError("give max_cost or a budget, not both")
        if total_timeout_s is not None and deadline is not None:
            raise ConfigError("give total_timeout_s or a deadline, not both")
        self.budget = budget or Budget(max_cost)
        if self.budget.limit is not None and prices is None:
            raise ConfigError("max_cost needs prices: give those of a million prompt and completion tokens")
        if prices is not None and not all(0 <= price < math.inf for price in prices):
            raise ConfigError(f"prices must be >= 0, got {prices}")
        check_address(base_url, has_key=bool(read_key(api_key_env)))
        try:
            import httpx2
        except ImportError:
            raise MissingExtra("asking a service needs httpx2", "remote") from None
        self.base_url, self.model, self.api_key_env = base_url.rstrip("/"), model, api_key_env
        self._url = httpx2.URL(f"{self.base_url}/chat/completions")  # parsed once, not with every request
        self.concurrency, self.tries = concurrency, tries
        self.timeout_s, self.prices = timeout_s, prices
        self.max_reply_bytes, self.max_failures = max_reply_bytes, max_failures
        self.deadline = deadline or Deadline(total_timeout_s)
        self.pace = Pace(max_rate=max_rate, deadline=self.deadline, backoff_s=backoff_s, max_wait_s=max_wait_s)
        self.accepted_models = (model, *accepted_models)
        self.num_sent = 0
        self.cost = 0.0
        self._most_prompt_tokens: float | None = None  # of the replies so far; None before the first
        self._num_under_way = 0
        self._has_answered = False
        self._session: httpx2.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"ChatClient({self.base_url!r}, {self.model!r}, api_key_env={self.api_key_env!r})"

    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
        notes: RequestNotes | None = None,
    ) -> ChatReply:
        """One completion, tried until it succeeds or cannot; `notes` as in `ChatRequest`.

        Raises:
            RequestFailed: this request got no usable reply.
            ServiceRefused: no request would.
            LimitReached: of cost or time.
        """
        payload = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
            **({} if seed is None else {"seed": seed}),
        }
        limit_bytes = min(self.max_reply_bytes, _ENVELOPE_BYTES + _TOKEN_BYTES * max_tokens)
        start, failure = time.monotonic(), _Failure("", None)
        async with self._opened() as session:
            for number in range(1, self.tries + 1):
                async with self._paid(payload):
                    self.deadline.check()
                    await self.pace.wait_for_slot()
                    if notes is not None:
                        notes.sent(number)
                    tried = await self._try(session, payload, limit_bytes, number, notes)
                if not isinstance(tried, _Failure):
                    text, reason, reasoning, usage = tried
                    usage["tries"] = float(number)
                    return ChatReply(text, reason, usage, time.monotonic() - start, reasoning)
                failure = tried
                if number < self.tries:
                    await self.pace.back_off(number, failure.asked_s, f"{self.base_url}: {failure.words}")
        raise RequestFailed(f"{self.base_url}: no reply in {self.tries} tries, the last time: {failure.words}")

    def replies(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[ChatRequest, Outcome]]:
        """Requests with their outcomes, in the order in which they come; one such iteration at a time.

        At most `2 * concurrency` requests and replies are held, however many `requests` brings; it is iterated in
        another thread, ahead of what is sent.

        Returns:
            Pairs of a request and a `ChatReply`, or the `RequestFailed` that it ended with.

        Raises:
            ServiceRefused: nothing succeeds any more. What was under way has been delivered.
            LimitReached: likewise.
        """
        return stream(self, requests)

    def complete_all(self, requests: Iterable[ChatRequest], on_reply: Callable[[ChatRequest, Outcome], None]) -> None:
        """Call `on_reply(request, outcome)` for every request; see `replies`."""
        for request, outcome in self.replies(requests):
            on_reply(request, outcome)

    async def __aenter__(self) -> ChatClient:
        """Keep connections open over several `complete`."""
        self._session = self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()

    async def _try(
        self,
        session: httpx2.AsyncClient,
        payload: Mapping[str, Any],
        limit_bytes: int,
        number: int,
        notes: RequestNotes | None,
    ) -> tuple[str, str, str, dict[str, float]] | _Failure:
        """What `read_reply` finds, its cost added, or why there is nothing to be found."""
        try:
            response = await self._send(session, payload, limit_bytes)
            if response.status != 200:
                return _Failure(self._judge(response), response.retry_after_s)
            text, reason, reasoning, usage = read_reply(response.body, self.accepted_models)
        except BadReply as error:
            if usage := usage_in(error.seen):
                self._pay(usage)
                if notes is not None:
                    notes.unusable(usage)
            if isinstance(error, AnotherModel) and not self._has_answered and number >= _FIRST_TRIES:
                raise ServiceRefused(
                    f"{self.base_url}: {error}, {number} times; ask for that name, or accept it (--also-model)"
                ) from None
            return _Failure(str(error), None)
        except _failures() as error:
            failure = _words(error, self.timeout_s)
            self._check_reachable(error, number, failure)
            return _Failure(failure, None)
        self._has_answered = True
        self._pay(usage)
        return text, reason, reasoning, usage

    @asynccontextmanager
    async def _paid(self, payload: Mapping[str, Any]) -> AsyncIterator[None]:
        """Money for one try, set aside before it is begun."""
        # Looking now and then, because a client outlives event loops, and their locks do not.
        while (promised := self._promised(payload)) is None:
            await asyncio.sleep(_LOOK_S)
        self._num_under_way += 1
        try:
            yield
        finally:
            self._num_under_way -= 1
            self.budget.settle(promised)

    def _promised(self, payload: Mapping[str, Any]) -> float | None:
        """What was set aside for a try; None while it has to wait for others."""
        if self.budget.limit is None or self.prices is None:
            return 0.0
        if self._most_prompt_tokens is None and self._num_under_way:
            return None
        tokens = max(num_chars(payload["messages"]) / _TOKEN_CHARS, self._most_prompt_tokens or 0.0)
        cost = (tokens * self.prices[0] + payload["max_tokens"] * self.prices[1]) / 1e6
        return cost if self.budget.promise(cost) else None

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[httpx2.AsyncClient]:
        if self._session is not None:
            yield self._session
            return
        async with self._connect() as session:
            yield session

    def _connect(self) -> httpx2.AsyncClient:
        import httpx2

        key = read_key(self.api_key_env)
        headers = {"Accept-Encoding": "identity"}  # no compressed reply can grow past the limit before it is counted
        return httpx2.AsyncClient(
            verify=self._url.scheme != "http",  # else loading certificates costs as much as twenty requests
            headers=headers | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx2.Timeout(self.timeout_s),
            limits=httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
        )

    async def _send(self, session: httpx2.AsyncClient, payload: Mapping[str, Any], limit_bytes: int) -> _Response:
        remaining_s = self.deadline.remaining_s()
        limit_s = self.timeout_s if remaining_s is None else min(self.timeout_s, max(remaining_s, 0.001))
        self.num_sent += 1
        async with (
            asyncio.timeout(limit_s),
            session.stream("POST", self._url, json=payload) as response,
        ):
            body, num_bytes = bytearray(), 0
            async for chunk in response.aiter_bytes():
                body += chunk
                num_bytes += len(chunk)
                if num_bytes > limit_bytes:
                    del body[:-_TAIL_BYTES]
                if num_bytes > self.max_reply_bytes:
                    break
            if num_bytes > limit_bytes:
                raise BadReply(f"a reply of more than {limit_bytes} bytes", bytes(body))
        # Some services quote the key in their errors; it must not reach a log.
        clean = without_key(bytes(body), read_key(self.api_key_env))
        return _Response(response.status_code, clean, retry_after_s(response.headers.get("retry-after")))

    def _pay(self, usage: dict[str, float]) -> None:
        """Count what a reply used, accepted or not; the cost is added to its numbers."""
        if self.prices is None:
            return
        tokens = usage.get("prompt_tokens", 0.0), usage.get("completion_tokens", 0.0)
        usage["cost"] = (tokens[0] * self.prices[0] + tokens[1] * self.prices[1]) / 1e6
        self.cost += usage["cost"]
        self.budget.pay(usage["cost"])
        self._most_prompt_tokens = max(tokens[0], self._most_prompt_tokens or 0.0)

    def _judge(self, response: _Response) -> str:
        """What went wrong, when another try may help.

        Raises:
            ServiceRefused: none would, for any request.
            RequestFailed: none would, for this one.
        """
        code, message = error_words(response.body)
        words = f"HTTP {response.status}: {message}"
        is_refusal = response.status in _REFUSED or 300 <= response.status < 400 or code == "insufficient_quota"
        if is_refusal and not is_about_content(response.body):
            way_out = self._way_out(response.status)
            raise ServiceRefused(f"{self.base_url} refuses model {self.model!r}: {words}; {way_out}")
        if response.status not in _AGAIN and response.status < 500:
            raise RequestFailed(f"{self.base_url} refuses this request: {words}")
        self._has_answered = True
        return words

    def _way_out(self, status: int) -> str:
        key = self.api_key_env or "an API key"
        if status == 401:
            return f"set {key}"
        if status == 403:
            return f"see whether {key} holds a key that may use this model"
        if status == 404 and not self.base_url.endswith("/v1"):
            return "check address and model; most addresses end in /v1"
        return "check address and model"

    def _check_reachable(self, error: BaseException, number: int, failure: str) -> None:
        import httpx2

        if isinstance(error, httpx2.ConnectError) and not self._has_answered and number >= _FIRST_TRIES:
            raise ServiceRefused(f"cannot reach {self.base_url}: {failure}; is the service running?") from None


def _failures() -> tuple[type[BaseException], ...]:
    import httpx2

    return (httpx2.TransportError, httpx2.DecodingError, TimeoutError)


def _words(error: BaseException, timeout_s: float) -> str:
    import httpx2

    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        return f"no complete reply within {timeout_s:g} s"
    return str(error) or type(error).__name__


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ConfigError(f"{name} must be > 0, got {value}")
