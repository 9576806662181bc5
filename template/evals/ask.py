"""Cases of the kind `ask`: answered from the documents of `DOCUMENTS_DIR`, as `/v1/ask` does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.llm.model import Model
from app.rag.answering import open_documents
from app.settings import Settings
from app.wiring import Service
from evals.answers import Found, Way
from evals.cases import Case


@asynccontextmanager
async def asking(service: Service, settings: Settings) -> AsyncIterator[Way]:
    policy = settings.documents.of(settings.app_env)
    async with open_documents(
        service.chat, service.embeddings, policy, shared=service.shared
    ) as documents:

        async def ask(case: Case, _model: Model) -> Found:
            answer = await documents.ask(case.question)
            ids = [scored.chunk.id for scored in answer.chunks]
            return Found(answer.text, ids, answer.response)

        yield ask
