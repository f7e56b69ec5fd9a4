"""The name under which tests of figures and widgets import `assert_refuses` (tests only)."""

from cases import assert_refuses as assert_refuses
