"""What a checker says of a wrong answer."""

import pytest

from resnet_edu import check


def refusal(checker, *args, **options) -> str:
    with pytest.raises(check.NotYet) as caught:
        checker(*args, **options)
    return str(caught.value)
