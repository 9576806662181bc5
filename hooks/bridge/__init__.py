"""Lets Cookiecutter render this template as Copier does.

`pre_prompt` arranges the source as Cookiecutter requires it (layout, delimiters). `pre_gen_project`
refuses answers that Copier's validators refuse (rules), removes files that Copier's `_exclude`
removes (exclusions) and adds the answers file (outcome, origin). All of this is read from
`copier.yml`, so nothing is defined twice.
"""
