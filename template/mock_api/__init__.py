"""A stand-in for the OpenAI and Anthropic APIs: deterministic, free of charge, able to fail on demand.

It knows nothing of the service. The way of a request:

    intake      reads and records it, decides whether a fault applies
    openai/     or anthropic/ checks it and turns it into a Prompt
    answers     Prompt → Completion: what a model would have said
    openai/     or anthropic/ writes the completion down as JSON or as stream frames
    reply       sends that, with the fault applied: late, paced, cut, stalled, broken
"""
