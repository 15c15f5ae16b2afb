namespace NormFree.Inference.Model;

/// <summary>One step from an image of any size to a network's input.</summary>
/// <param name="Kind">What is done.</param>
/// <param name="Height">Rows that it is about.</param>
/// <param name="Width">Columns that it is about.</param>
public sealed record ImageStep(ImageStepKind Kind, int Height, int Width);
