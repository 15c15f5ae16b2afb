namespace NormFree.Distributed;

/// <summary>What is added up over ranks.</summary>
public enum NumberType
{
    /// <summary>float.</summary>
    Float32,

    /// <summary>double.</summary>
    Float64,
}
