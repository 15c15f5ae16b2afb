namespace NormFree.Inference.Model;

/// <summary>The last layer: each channel's mean over the map, then a linear layer. logits = weights · mean + bias.</summary>
/// <param name="Key"><inheritdoc/></param>
/// <param name="In">Channels of its input.</param>
/// <param name="Classes">Logits.</param>
/// <param name="Weights">Classes × In.</param>
/// <param name="Bias">One a class.</param>
public sealed record Classifier(string Key, int In, int Classes, float[] Weights, float[] Bias) : PackedLayer(Key);
