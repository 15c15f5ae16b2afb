namespace NormFree.Inference.Model;

/// <summary>Why a model cannot run.</summary>
/// <param name="Where">The place: a layer, or a part of the model.</param>
/// <param name="What">What is wrong there, without a full stop.</param>
public sealed record ModelProblem(string Where, string What)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Where}: {What}";
}
