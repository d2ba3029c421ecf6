from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
ELEMENT_TYPE_FLOAT16: ElementType
ELEMENT_TYPE_FLOAT32: ElementType
ELEMENT_TYPE_INT8: ElementType
ELEMENT_TYPE_UNSPECIFIED: ElementType
NORMALIZATION_L2: Normalization
NORMALIZATION_NONE: Normalization
NORMALIZATION_UNSPECIFIED: Normalization
POOLING_CLASS_TOKEN: Pooling
POOLING_MEAN: Pooling
POOLING_UNSPECIFIED: Pooling

class Applied(_message.Message):
    __slots__ = ["expected_fidelity", "gflops", "gflops_unmerged", "merged_per_block", "tokens_in", "tokens_out"]
    EXPECTED_FIDELITY_FIELD_NUMBER: _ClassVar[int]
    GFLOPS_FIELD_NUMBER: _ClassVar[int]
    GFLOPS_UNMERGED_FIELD_NUMBER: _ClassVar[int]
    MERGED_PER_BLOCK_FIELD_NUMBER: _ClassVar[int]
    TOKENS_IN_FIELD_NUMBER: _ClassVar[int]
    TOKENS_OUT_FIELD_NUMBER: _ClassVar[int]
    expected_fidelity: float
    gflops: float
    gflops_unmerged: float
    merged_per_block: _containers.RepeatedScalarFieldContainer[int]
    tokens_in: int
    tokens_out: int
    def __init__(self, merged_per_block: _Optional[_Iterable[int]] = ..., tokens_in: _Optional[int] = ..., tokens_out: _Optional[int] = ..., gflops: _Optional[float] = ..., gflops_unmerged: _Optional[float] = ..., expected_fidelity: _Optional[float] = ...) -> None: ...

class EmbedBatchRequest(_message.Message):
    __slots__ = ["if_weights_digest", "items", "merge", "model", "output"]
    class Item(_message.Message):
        __slots__ = ["input", "merge"]
        INPUT_FIELD_NUMBER: _ClassVar[int]
        MERGE_FIELD_NUMBER: _ClassVar[int]
        input: Input
        merge: MergeSpec
        def __init__(self, input: _Optional[_Union[Input, _Mapping]] = ..., merge: _Optional[_Union[MergeSpec, _Mapping]] = ...) -> None: ...
    IF_WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    if_weights_digest: str
    items: _containers.RepeatedCompositeFieldContainer[EmbedBatchRequest.Item]
    merge: MergeSpec
    model: str
    output: OutputSpec
    def __init__(self, model: _Optional[str] = ..., if_weights_digest: _Optional[str] = ..., merge: _Optional[_Union[MergeSpec, _Mapping]] = ..., output: _Optional[_Union[OutputSpec, _Mapping]] = ..., items: _Optional[_Iterable[_Union[EmbedBatchRequest.Item, _Mapping]]] = ...) -> None: ...

class EmbedBatchResponse(_message.Message):
    __slots__ = ["model", "results"]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    model: ModelRef
    results: _containers.RepeatedCompositeFieldContainer[Result]
    def __init__(self, model: _Optional[_Union[ModelRef, _Mapping]] = ..., results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ["if_weights_digest", "input", "merge", "model", "output"]
    IF_WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    if_weights_digest: str
    input: Input
    merge: MergeSpec
    model: str
    output: OutputSpec
    def __init__(self, model: _Optional[str] = ..., if_weights_digest: _Optional[str] = ..., input: _Optional[_Union[Input, _Mapping]] = ..., merge: _Optional[_Union[MergeSpec, _Mapping]] = ..., output: _Optional[_Union[OutputSpec, _Mapping]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ["embedding", "model"]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    embedding: Embedding
    model: ModelRef
    def __init__(self, model: _Optional[_Union[ModelRef, _Mapping]] = ..., embedding: _Optional[_Union[Embedding, _Mapping]] = ...) -> None: ...

class EmbedStreamRequest(_message.Message):
    __slots__ = ["id", "request", "timeout"]
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: EmbedRequest
    timeout: _duration_pb2.Duration
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[EmbedRequest, _Mapping]] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class EmbedStreamResponse(_message.Message):
    __slots__ = ["id", "model", "result"]
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    id: int
    model: ModelRef
    result: Result
    def __init__(self, id: _Optional[int] = ..., model: _Optional[_Union[ModelRef, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ["applied", "merge_map", "model_pixels", "timing", "tokens", "vector"]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    MERGE_MAP_FIELD_NUMBER: _ClassVar[int]
    MODEL_PIXELS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    applied: Applied
    merge_map: MergeMap
    model_pixels: RawImage
    timing: Timing
    tokens: Tokens
    vector: Vector
    def __init__(self, vector: _Optional[_Union[Vector, _Mapping]] = ..., applied: _Optional[_Union[Applied, _Mapping]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., merge_map: _Optional[_Union[MergeMap, _Mapping]] = ..., tokens: _Optional[_Union[Tokens, _Mapping]] = ..., model_pixels: _Optional[_Union[RawImage, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ["limits", "model"]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    limits: Limits
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ["encoded", "model_pixels", "rgb"]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    MODEL_PIXELS_FIELD_NUMBER: _ClassVar[int]
    RGB_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    model_pixels: RawImage
    rgb: RawImage
    def __init__(self, encoded: _Optional[bytes] = ..., rgb: _Optional[_Union[RawImage, _Mapping]] = ..., model_pixels: _Optional[_Union[RawImage, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ["default_timeout", "encoded_bytes", "images_per_call", "maximum_timeout", "message_bytes", "pixels", "side_pixels"]
    DEFAULT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ENCODED_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGES_PER_CALL_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    SIDE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    default_timeout: _duration_pb2.Duration
    encoded_bytes: int
    images_per_call: int
    maximum_timeout: _duration_pb2.Duration
    message_bytes: int
    pixels: int
    side_pixels: int
    def __init__(self, encoded_bytes: _Optional[int] = ..., pixels: _Optional[int] = ..., side_pixels: _Optional[int] = ..., images_per_call: _Optional[int] = ..., message_bytes: _Optional[int] = ..., default_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., maximum_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ["models"]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class MergeMap(_message.Message):
    __slots__ = ["grid_height", "grid_width", "group_of_patch", "size"]
    GRID_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    GRID_WIDTH_FIELD_NUMBER: _ClassVar[int]
    GROUP_OF_PATCH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    grid_height: int
    grid_width: int
    group_of_patch: _containers.RepeatedScalarFieldContainer[int]
    size: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, grid_height: _Optional[int] = ..., grid_width: _Optional[int] = ..., group_of_patch: _Optional[_Iterable[int]] = ..., size: _Optional[_Iterable[float]] = ...) -> None: ...

class MergeProfile(_message.Message):
    __slots__ = ["date", "images", "steps"]
    class Step(_message.Message):
        __slots__ = ["fidelity", "fidelity_p5", "flop_ratio", "r", "recall_at_10"]
        FIDELITY_FIELD_NUMBER: _ClassVar[int]
        FIDELITY_P5_FIELD_NUMBER: _ClassVar[int]
        FLOP_RATIO_FIELD_NUMBER: _ClassVar[int]
        RECALL_AT_10_FIELD_NUMBER: _ClassVar[int]
        R_FIELD_NUMBER: _ClassVar[int]
        fidelity: float
        fidelity_p5: float
        flop_ratio: float
        r: int
        recall_at_10: float
        def __init__(self, r: _Optional[int] = ..., fidelity: _Optional[float] = ..., fidelity_p5: _Optional[float] = ..., recall_at_10: _Optional[float] = ..., flop_ratio: _Optional[float] = ...) -> None: ...
    DATE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    date: str
    images: int
    steps: _containers.RepeatedCompositeFieldContainer[MergeProfile.Step]
    def __init__(self, steps: _Optional[_Iterable[_Union[MergeProfile.Step, _Mapping]]] = ..., images: _Optional[int] = ..., date: _Optional[str] = ...) -> None: ...

class MergeSpec(_message.Message):
    __slots__ = ["auto", "constant", "linear", "per_block"]
    class Auto(_message.Message):
        __slots__ = ["latency_budget", "maximum_r", "minimum_fidelity"]
        LATENCY_BUDGET_FIELD_NUMBER: _ClassVar[int]
        MAXIMUM_R_FIELD_NUMBER: _ClassVar[int]
        MINIMUM_FIDELITY_FIELD_NUMBER: _ClassVar[int]
        latency_budget: _duration_pb2.Duration
        maximum_r: int
        minimum_fidelity: float
        def __init__(self, latency_budget: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., minimum_fidelity: _Optional[float] = ..., maximum_r: _Optional[int] = ...) -> None: ...
    class Linear(_message.Message):
        __slots__ = ["inflection", "mean_r"]
        INFLECTION_FIELD_NUMBER: _ClassVar[int]
        MEAN_R_FIELD_NUMBER: _ClassVar[int]
        inflection: float
        mean_r: int
        def __init__(self, mean_r: _Optional[int] = ..., inflection: _Optional[float] = ...) -> None: ...
    class PerBlock(_message.Message):
        __slots__ = ["r"]
        R_FIELD_NUMBER: _ClassVar[int]
        r: _containers.RepeatedScalarFieldContainer[int]
        def __init__(self, r: _Optional[_Iterable[int]] = ...) -> None: ...
    AUTO_FIELD_NUMBER: _ClassVar[int]
    CONSTANT_FIELD_NUMBER: _ClassVar[int]
    LINEAR_FIELD_NUMBER: _ClassVar[int]
    PER_BLOCK_FIELD_NUMBER: _ClassVar[int]
    auto: MergeSpec.Auto
    constant: int
    linear: MergeSpec.Linear
    per_block: MergeSpec.PerBlock
    def __init__(self, constant: _Optional[int] = ..., linear: _Optional[_Union[MergeSpec.Linear, _Mapping]] = ..., per_block: _Optional[_Union[MergeSpec.PerBlock, _Mapping]] = ..., auto: _Optional[_Union[MergeSpec.Auto, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ["architecture", "blocks", "default_merge", "device", "dtype", "embedding_dimensions", "family", "gflops_unmerged", "input_height", "input_width", "maximum_r", "name", "patch_size", "prefix_tokens", "profile", "proportional_attention", "token_dimensions", "tokens", "weights_digest"]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MERGE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    GFLOPS_UNMERGED_FIELD_NUMBER: _ClassVar[int]
    INPUT_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    INPUT_WIDTH_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_R_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    PROPORTIONAL_ATTENTION_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    architecture: str
    blocks: int
    default_merge: MergeSpec
    device: str
    dtype: str
    embedding_dimensions: int
    family: str
    gflops_unmerged: float
    input_height: int
    input_width: int
    maximum_r: int
    name: str
    patch_size: int
    prefix_tokens: int
    profile: MergeProfile
    proportional_attention: bool
    token_dimensions: int
    tokens: int
    weights_digest: str
    def __init__(self, name: _Optional[str] = ..., weights_digest: _Optional[str] = ..., architecture: _Optional[str] = ..., family: _Optional[str] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ..., embedding_dimensions: _Optional[int] = ..., token_dimensions: _Optional[int] = ..., input_height: _Optional[int] = ..., input_width: _Optional[int] = ..., patch_size: _Optional[int] = ..., tokens: _Optional[int] = ..., prefix_tokens: _Optional[int] = ..., blocks: _Optional[int] = ..., maximum_r: _Optional[int] = ..., proportional_attention: bool = ..., default_merge: _Optional[_Union[MergeSpec, _Mapping]] = ..., gflops_unmerged: _Optional[float] = ..., profile: _Optional[_Union[MergeProfile, _Mapping]] = ...) -> None: ...

class ModelRef(_message.Message):
    __slots__ = ["name", "weights_digest"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    weights_digest: str
    def __init__(self, name: _Optional[str] = ..., weights_digest: _Optional[str] = ...) -> None: ...

class OutputSpec(_message.Message):
    __slots__ = ["dimensions", "element_type", "merge_map", "model_pixels", "normalization", "pooling", "tokens"]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    MERGE_MAP_FIELD_NUMBER: _ClassVar[int]
    MODEL_PIXELS_FIELD_NUMBER: _ClassVar[int]
    NORMALIZATION_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    dimensions: int
    element_type: ElementType
    merge_map: bool
    model_pixels: bool
    normalization: Normalization
    pooling: Pooling
    tokens: bool
    def __init__(self, element_type: _Optional[_Union[ElementType, str]] = ..., normalization: _Optional[_Union[Normalization, str]] = ..., dimensions: _Optional[int] = ..., pooling: _Optional[_Union[Pooling, str]] = ..., merge_map: bool = ..., tokens: bool = ..., model_pixels: bool = ...) -> None: ...

class RawImage(_message.Message):
    __slots__ = ["data", "height", "width"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    height: int
    width: int
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ["embedding", "error"]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    embedding: Embedding
    error: _status_pb2.Status
    def __init__(self, embedding: _Optional[_Union[Embedding, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ["batch_images", "compute", "decode", "preprocess", "queue"]
    BATCH_IMAGES_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    batch_images: int
    compute: _duration_pb2.Duration
    decode: _duration_pb2.Duration
    preprocess: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    def __init__(self, decode: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., preprocess: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., compute: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., batch_images: _Optional[int] = ...) -> None: ...

class Tokens(_message.Message):
    __slots__ = ["count", "data", "dimensions"]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    count: int
    data: bytes
    dimensions: int
    def __init__(self, count: _Optional[int] = ..., dimensions: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ["data", "dimensions", "scale", "type"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    dimensions: int
    scale: float
    type: ElementType
    def __init__(self, type: _Optional[_Union[ElementType, str]] = ..., dimensions: _Optional[int] = ..., data: _Optional[bytes] = ..., scale: _Optional[float] = ...) -> None: ...

class ElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Normalization(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Pooling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
