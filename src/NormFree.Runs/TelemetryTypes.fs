namespace NormFree.Runs

/// <summary>How often a training with a folder looks inside its binary layers. It changes no result.</summary>
type Sampling =
    | Never
    /// At the stage's first step, and at every so many after it.
    | EverySteps of int

    /// <summary>Often enough for a curve, and under 3 % of a training's time.</summary>
    static member Default = EverySteps 50

/// <summary>What one binary layer looked like at one step. Means and shares are of the batch of that step.</summary>
/// <remarks>x is the layer's input (N×C×H×W, before it is scaled by β and shifted by b), s = sign(β·x + b) what its convolution sees.</remarks>
type LayerSample =
    {
        Stage: string
        /// From 1.
        Epoch: int
        /// Steps of the epoch that were done before this one.
        Step: int
        /// The layer's name, as profiles and logs have it, for example <c>layer1.0.binary_conv</c>.
        Layer: string
        /// The mean over channels of the squares of the channels' means of x.
        MeanSquared: float
        /// The mean over channels of the channels' variances of x, over N×H×W.
        Variance: float
        /// The variance that the network's constants are made for; NaN with batch norm and without any norm.
        ExpectedVariance: float
        /// The share of β·x + b inside [−1, 1), where the sign's gradient is not zero.
        Window: float
        /// The share of s that is +1: over all channels, and of the channels with the lowest and the highest share.
        Positive: float
        PositiveLowest: float
        PositiveHighest: float
        /// Channels with one sign all over the batch, of so many.
        DeadChannels: int
        Channels: int
        /// The share of the signs of s, on test images that stay the same, that this one step turned.
        ActivationFlips: float
        /// The share of the filters' signs that this one step turned.
        WeightFlips: float
        /// Of the layer's filters: the share that AGC clipped at this step, and the mean of ‖g‖ ∕ max(‖w‖, 1e-3) before clipping.
        Clipped: float
        NormRatio: float
        /// ‖g‖ over all of the layer's filters, before clipping.
        GradientNorm: float
    }

/// <summary>The share of +1 of one channel at the end of an epoch, over a batch of test images.</summary>
type ChannelSample =
    {
        Stage: string
        Epoch: int
        Layer: string
        /// From 0.
        Channel: int
        Positive: float
    }

/// <summary>What was seen inside a run.</summary>
type Telemetry = { Layers: LayerSample list; Channels: ChannelSample list }
