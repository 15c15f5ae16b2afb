namespace NormFree.Torch.Telemetry;

/// <summary>What a binary convolution's input x looks like, by channel, over batch and pixels; t = β·x + b is what its sign is taken of.</summary>
/// <param name="Mean">C means of x.</param>
/// <param name="Variance">C variances of x, divided by the number of values.</param>
/// <param name="Positive">C shares of t ≥ 0, exact.</param>
/// <param name="Window">The share of −1 ≤ t &lt; 1 over all channels: where the sign's gradient is not zero.</param>
public sealed record ChannelStatistics(double[] Mean, double[] Variance, double[] Positive, double Window);
