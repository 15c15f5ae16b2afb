namespace NormFree.Runs

open System

/// Marks a float column that files of earlier versions lack. It is read as NaN.
[<Sealed; AttributeUsage(AttributeTargets.Property ||| AttributeTargets.Field)>]
type internal AddedColumnAttribute() =
    inherit Attribute()

/// <summary>How often a training with a run folder samples its binary layers. Sampling changes no result.</summary>
type Sampling =
    | Never
    /// At the stage's first step, and at every n-th step after it.
    | EverySteps of int

    /// <summary>Every 50 steps: enough for a curve, at less than 3 % of the training time.</summary>
    static member Default = EverySteps 50

/// <summary>Statistics of one binary layer at one step, over the batch of that step.</summary>
/// <remarks>x is the layer's input (N×C×H×W, before it is scaled by β and shifted by b), s = sign(β·x + b) the convolution's input. Fractions are from 0 to 1.</remarks>
type LayerSample =
    {
        Stage: string
        /// From 1.
        Epoch: int
        /// Steps of the epoch before this one.
        Step: int
        /// The layer's name as in profiles and logs, for example <c>layer1.0.binary_conv</c>.
        Layer: string
        /// The mean over channels of the squared channel means of x.
        MeanSquared: float
        /// The mean over channels of the variance of x over N×H×W.
        Variance: float
        /// The variance that the network's constants assume; NaN with batch norm and without any norm.
        ExpectedVariance: float
        /// The fraction of β·x + b inside [−1, 1), where the sign has a gradient.
        Window: float
        /// The fraction of s that is +1: over all channels, and in the channels with the lowest and the highest fraction.
        Positive: float
        PositiveLowest: float
        PositiveHighest: float
        /// Channels with the same sign everywhere in the batch, and all channels.
        DeadChannels: int
        Channels: int
        /// The fraction of the signs of s that this step flipped, on a fixed set of test images.
        ActivationFlips: float
        /// The fraction of the filters' signs that this step flipped.
        WeightFlips: float
        /// The fraction of the layer's filters that AGC clipped at this step, and the mean of ‖g‖ ∕ max(‖w‖, 1e-3) before clipping.
        Clipped: float
        NormRatio: float
        /// ‖g‖ over all of the layer's filters, before clipping.
        GradientNorm: float
        /// The mean over channels of the squared channel means of the input of the shortcut's convolution, before pooling; NaN in layers without
        /// one. One-bit filters do not sum to zero, so these means leak through them.
        [<AddedColumn>]
        ShortcutMeanSquared: float
    }

/// <summary>The fraction of +1 in one channel at the end of an epoch, over a batch of test images.</summary>
type ChannelSample =
    {
        Stage: string
        Epoch: int
        Layer: string
        /// From 0.
        Channel: int
        Positive: float
    }

/// <summary>How binarising the weights changes the input x of one binary layer. The same images pass through the network of stage 1, and through
/// the same weights binarised, before any step of stage 2.</summary>
type TransitionSample =
    {
        Layer: string
        /// The mean over channels of the squared change of the channel means of x.
        MeanChange: float
        /// The mean over channels of the squared channel means of x, with real and with binary weights.
        MeanSquaredBefore: float
        MeanSquaredAfter: float
        /// The mean over channels of the variance of x, with real and with binary weights.
        VarianceBefore: float
        VarianceAfter: float
        /// The mean over channels of the squared channel means of the input of the shortcut's convolution, with real weights; NaN in layers
        /// without one.
        ShortcutMeanSquared: float
    }

/// <summary>The telemetry of a run.</summary>
type Telemetry =
    {
        Layers: LayerSample list
        Channels: ChannelSample list
        /// Empty for runs without a transition from real to binary weights, and for runs of earlier versions.
        Transition: TransitionSample list
    }
