"""Layers in other libraries: the names of classes and of their arguments, with our names."""

from __future__ import annotations

from collections.abc import Mapping

from optcore.spec.elsewhere.table import Answers, table

LAYERS: Mapping[str, Answers] = table(
    """
    conv1d: Convolution1D LazyConv1d
    conv2d: Convolution2D LazyConv2d conv convolution
    conv2d (whose padding is the same at both ends): Conv2dSame Conv2dStaticSamePadding
        Conv2dDynamicSamePadding
    conv2d with groups: DepthwiseConv2D depthwise_conv2d depthwise
    conv_transpose1d: Conv1DTranspose deconv1d Convolution1DTranspose
    conv_transpose2d: Conv2DTranspose deconv2d deconv deconvolution Convolution2DTranspose
        upconv
    max_pool1d: MaxPooling1D
    max_pool2d: MaxPooling2D max_pool maxpool max_pooling
    avg_pool1d: AveragePooling1D AvgPooling1D
    avg_pool2d: AveragePooling2D AvgPooling2D avg_pool average_pool average_pool2d
    adaptive_avg_pool1d: AdaptiveAveragePooling1D
    adaptive_avg_pool2d: AdaptiveAveragePooling2D adaptive_avg_pool
    adaptive_max_pool1d: AdaptiveMaxPooling1D
    adaptive_max_pool2d: AdaptiveMaxPooling2D
    global_pool: GlobalAveragePooling1D GlobalAveragePooling2D GlobalAvgPool1D GlobalAvgPool2D gap
        global_avg_pool global_average_pool SelectAdaptivePool2d
    global_pool with mode max: GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPool1D
        GlobalMaxPool2D global_max_pool
    linear: Dense LazyLinear fully_connected fc InnerProduct affine NonDynamicallyQuantizableLinear
    flatten: view
    reshape: Unflatten
    permute: transpose swapaxes rearrange
    upsample: UpSampling1D UpSampling2D UpsamplingNearest2d interpolate resize
    upsample with mode bilinear and align_corners true: UpsamplingBilinear2d
    relu: rectifier
    prelu: ParametricReLU
    identity: passthrough noop
    silu: Swish SwishImplementation MemoryEfficientSwish
    gelu: GELUActivation
    gelu with approximate tanh: NewGELUActivation GELUTanh PytorchGELUTanh FastGELUActivation
    gelu (from which x * sigmoid(1.702 * x) differs by up to 0.02): QuickGELU QuickGELUActivation
    hardswish: HSwish
    hardsigmoid: HSigmoid
    softmax: Softmax2d
    batch_norm: BatchNorm1d BatchNorm2d BatchNorm1D BatchNorm2D SyncBatchNorm LazyBatchNorm1d
        LazyBatchNorm2d bn
    batch_norm (whose momentum is 1 minus that of Keras and ONNX): BatchNormalization
    batch_norm and a relu after it: BatchNormAct2d
    batch_norm (which is trained, and takes the statistics of the batch): FrozenBatchNorm2d
    layer_norm: LayerNormalization ln
    layer_norm (over all values of an image, not over the channels of each pixel): LayerNorm2d
        LayerNormChannelsFirst
    dropout (of single values, not of whole channels): Dropout1d Dropout2d Dropout3d Dropout2D
        SpatialDropout1D SpatialDropout2D FeatureAlphaDropout
    transformer_encoder_layer with causal true (which has no attention to another sequence):
        GPT2Block LlamaDecoderLayer
    transformer_decoder_layer: TransformerDecoder DecoderLayer
    queries: latents query_embed object_queries learned_queries PerceiverEmbeddings
    transformer_encoder_layer: TransformerEncoder EncoderLayer
    rms_norm: LlamaRMSNorm RMSNormalization T5LayerNorm
    group_norm: GroupNormalization gn
    instance_norm: InstanceNorm1d InstanceNorm2d InstanceNormalization LazyInstanceNorm1d
        LazyInstanceNorm2d
    squeeze_excite: SqueezeExcitation SEModule SEBlock SELayer se SqueezeAndExcitation
    sequential: ModuleList stage ConvBNLayer ConvNormAct Conv2dNormActivation block
    residual: ResidualBlock BasicBlock Bottleneck skip skip_connection shortcut InvertedResidual
    parallel: Concatenate concat cat inception branches
    """
)
"""Maps a layer in another library to our kind for it."""

LAYER_FIELDS: Mapping[str, Answers] = table(
    """
    out_channels: filters num_filters out_planes out_features num_output nout output_channels
        out_chs
    out_features: units num_units output_dim out_dim num_outputs out_channels output_size
    kernel_size: kernel kernel_shape pool_size ksize filter_size window_size kernel_sizes
    stride: strides
    padding: pad pads pad_size
    dilation: dilation_rate dilations rate
    groups: group num_groups feature_group_count ngroups
    bias: use_bias bias_attr has_bias with_bias center
    padding_mode: pad_mode pad_type
    output_padding: out_padding
    output_size: size
    scale_factor: size scale factor scales
    mode: interpolation pool_type pooling
    num_groups: groups group_count ngroups
    negative_slope: alpha slope leakiness leak
    p: rate drop_prob dropout_rate drop_rate dropout prob dropout_prob dropout_p
    times: repeats num_layers num_blocks depth count repetitions number n_layers
    layers: modules children blocks body sublayers
    branches: modules children paths layers
    shortcut: downsample skip identity
    join: merge op aggregation merge_mode combine
    squeeze_channels: rd_channels reduced_channels hidden_channels squeeze
    affine: elementwise_affine scale center
    gate: gate_layer gate_fn
    shape: target_shape unflattened_size dims
    momentum: bn_momentum
    eps: variance_epsilon bn_eps
    memory: encoder context cross_attention encoder_output encoder_hidden_states
    num_queries: num_latents num_embeddings length queries latents
    share: tie tied weight_tying tie_weights shared
    """
)
"""Maps an argument of such a layer to our fields for it."""
