"""What Cookiecutter needs to render this template as Copier does.

`pre_prompt` lays the source out as Cookiecutter wants it (layout, delimiters), `pre_gen_project`
refuses what Copier's validators refuse (rules), drops what Copier's `_exclude` drops (exclusions)
and adds the answers file (outcome, origin). All of it is read from `copier.yml`; nothing is said twice.
"""
