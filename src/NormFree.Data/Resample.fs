/// <summary>Bilinear resizing with antialiasing, equal to Pillow's <c>Image.resize(BILINEAR)</c>.</summary>
module NormFree.Data.Resample

open NormFree.Kernels.Images

/// <summary>Resizes to <c>width</c>×<c>height</c>. A side whose length does not change is not resampled.</summary>
let resize width height (image: Image) =
    { Width = width
      Height = height
      Pixels = Bilinear.Resize(image.Pixels, image.Width, image.Height, width, height) }
