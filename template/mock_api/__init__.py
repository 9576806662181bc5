"""A mock of the OpenAI and Anthropic APIs: deterministic, free, and able to fail on demand.

It does not import the service. The path of a request:

    intake      reads and records it, and decides whether a fault applies
    openai/     or anthropic/ validates it and converts it to a Prompt
    answers     Prompt → Completion: the answer of the simulated model
    openai/     or anthropic/ encodes the completion as JSON or as stream frames
    reply       sends them with the fault applied: late, paced, cut, stalled or broken
"""
