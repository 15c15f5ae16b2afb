/// <summary>Bilinear resizing with antialiasing, as Pillow's <c>Image.resize(BILINEAR)</c>.</summary>
module NormFree.Data.Resample

open NormFree.Kernels.Images

/// <summary>The image at <c>width</c>×<c>height</c>; a side that keeps its length is left alone.</summary>
let resize width height (image: Image) =
    { Width = width
      Height = height
      Pixels = Bilinear.Resize(image.Pixels, image.Width, image.Height, width, height) }
