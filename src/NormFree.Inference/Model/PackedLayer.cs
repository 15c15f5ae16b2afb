namespace NormFree.Inference.Model;

/// <summary>One step of a packed network: a map of H×W×C in, another one out.</summary>
/// <param name="Key">Its name, unique in the network; names of its tensors begin with it.</param>
public abstract record PackedLayer(string Key);
