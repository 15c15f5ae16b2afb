namespace NormFree.Torch.Profiling;

/// <summary>In which direction a layer is at work.</summary>
public enum Phase
{
    /// <summary>From its input to its output.</summary>
    Forward,

    /// <summary>From its output's gradient to those of its input and parameters.</summary>
    Backward,
}
