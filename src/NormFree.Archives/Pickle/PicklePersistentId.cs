namespace NormFree.Archives.Pickle;

/// <summary>A reference to something outside of the pickle; PyTorch's checkpoints name the bytes of their tensors so.</summary>
public sealed class PicklePersistentId : PickleValue
{
    internal PicklePersistentId(PickleValue id) => Id = id;

    /// <summary>What the writer gave as the identity.</summary>
    public PickleValue Id { get; }

    /// <inheritdoc/>
    public override string ToString() => "a persistent id";
}
