namespace NormFree.Data

/// <summary>An RGB image: <c>3·Width·Height</c> bytes, row-major, channels interleaved (R, G, B).</summary>
type Image =
    { Width: int
      Height: int
      Pixels: byte[] }
