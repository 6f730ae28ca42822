"""Whether the tests notice a change of the logic: `make mutants`, `make mutants ONLY=llm`.

cosmic-ray changes one operator, number, branch or loop of a module at a time, in a copy of the
repository, and the module's own tests run on it. docs/mutants.md says how to read the result.
"""
