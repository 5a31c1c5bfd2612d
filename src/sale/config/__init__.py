"""`sale.toml` and the environment to typed, frozen settings. The only reader of the environment.

Where settings come from, the first that exists: the path given, `$SALE_CONFIG`, `./sale.toml`, `sale.toml` in the
user's configuration directory, and the `sale.toml` shipped with the package (the embedded pool). A `./sale.toml` that
may have come with a repository is passed by unless the user has allowed it (`sale.config.trust`). Files are not merged:
one file says everything, so what is in force can be read in one place. Unknown keys are refused.

Secrets are never in the file: an agent names the environment variable that holds its key.
"""

from sale.config.agents import OF_KINDS, STEP_WAYS, TOOL_WAYS, AgentSettings, PriceSettings
from sale.config.environment import (
    APP,
    FILE,
    alarm_headers,
    api_key,
    command_environment,
    corpora_path,
    embeddings_key,
    git_settings_path,
    header_keys,
    held_patches_path,
    is_set,
    llama_server,
    mcp_secrets,
    memory_archive,
    memory_path,
    memory_place,
    models_path,
    refuse_usage_statistics_of_ray,
    search_key,
    secret,
    secure_data_directory,
    server_database,
    server_password,
    virtual_environment,
    wants_ascii,
)
from sale.config.jurors import (
    DecisionJurorSettings,
    FunctionJurorSettings,
    JurorSettings,
    MatchJurorSettings,
    QuestionJurorSettings,
)
from sale.config.own import BenchSettings, LearningSettings, OwnToolSettings, RouterSettings, VerifierSettings
from sale.config.reading import example, find, load, parse, shipped_text
from sale.config.server import EmbeddingSettings, ServerSettings
from sale.config.settings import MemorySettings, SandboxSettings, Settings, WeightSettings
from sale.config.tools import ToolSettings
from sale.config.trust import allow, disallow
from sale.config.workspace import WorkspaceSettings

__all__ = [
    "APP",
    "FILE",
    "OF_KINDS",
    "STEP_WAYS",
    "TOOL_WAYS",
    "AgentSettings",
    "BenchSettings",
    "DecisionJurorSettings",
    "EmbeddingSettings",
    "FunctionJurorSettings",
    "JurorSettings",
    "LearningSettings",
    "MatchJurorSettings",
    "MemorySettings",
    "OwnToolSettings",
    "PriceSettings",
    "QuestionJurorSettings",
    "RouterSettings",
    "SandboxSettings",
    "ServerSettings",
    "Settings",
    "ToolSettings",
    "VerifierSettings",
    "WeightSettings",
    "WorkspaceSettings",
    "alarm_headers",
    "allow",
    "api_key",
    "command_environment",
    "corpora_path",
    "disallow",
    "embeddings_key",
    "example",
    "find",
    "git_settings_path",
    "header_keys",
    "held_patches_path",
    "is_set",
    "llama_server",
    "load",
    "mcp_secrets",
    "memory_archive",
    "memory_path",
    "memory_place",
    "models_path",
    "parse",
    "refuse_usage_statistics_of_ray",
    "search_key",
    "secret",
    "secure_data_directory",
    "server_database",
    "server_password",
    "shipped_text",
    "virtual_environment",
    "wants_ascii",
]
