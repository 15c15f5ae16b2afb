namespace NormFree.Data

open System
open NormFree.Kernels.Images

/// <summary>How PCA lighting (Krizhevsky et al. 2012) treats its unit; method.md's deviation 4.</summary>
type LightingMode =
    /// As the published code: shifts computed for images in [0,1], of about 0.02, are added to bytes and the sum is
    /// truncated.
    | Published
    /// The shift is scaled to bytes (× 255) and the sum is rounded.
    | Corrected

/// <summary>One step from a decoded image to the network's input; steps work on bytes, as torchvision's do on PIL
/// images.</summary>
type Augment =
    /// Pads each side with so many black pixels, then cuts a window of the original size at a random place.
    | PadCrop of padding: int
    /// Mirrors left for right, every second time.
    | Flip
    /// A random part of the image (share of its area; aspect ratio 3/4 to 4/3), resized to size×size (Szegedy et al.
    /// 2015).
    | RandomResizedCrop of scaleMin: float * scaleMax: float * size: int
    /// Resizes so that the shorter side has this length; keeps the aspect ratio.
    | ResizeShort of size: int
    /// The middle size×size; an image that is smaller is padded with black.
    | CentreCrop of size: int
    /// Resizes to size×size whatever the aspect ratio.
    | Resize of size: int
    /// Shifts the colours along the principal axes of ImageNet's by a Gaussian of this deviation.
    | Lighting of deviation: float * LightingMode

/// <summary>The steps for training and those for testing.</summary>
type Augmentation = { Train: Augment list; Test: Augment list }

module Augment =
    let private eigenvalues = [| 0.2175; 0.0188; 0.0045 |]

    /// Row c: what the three axes add to channel c.
    let private eigenvectors =
        [| [| -0.5675; 0.7192; 0.4009 |]; [| -0.5808; -0.0045; -0.8140 |]; [| -0.5836; -0.6948; 0.4203 |] |]

    /// A table of 256 bytes for each channel: what lighting makes of each value.
    let private lightingTables deviation mode (random: RandomStream) =
        let amounts = eigenvalues |> Array.map (fun value -> value * deviation * random.Normal())

        let shade shift value =
            match mode with
            | Published -> byte (Math.Clamp(float value + shift, 0.0, 255.0))
            | Corrected -> byte (Math.Clamp(Math.Round(float value + 255.0 * shift), 0.0, 255.0))

        eigenvectors
        |> Array.map (fun row -> Array.init 256 (shade (Array.fold2 (fun sum a b -> sum + a * b) 0.0 row amounts)))

    let private lighting deviation mode random (image: Image) =
        let tables = lightingTables deviation mode random

        { image with Pixels = image.Pixels |> Array.mapi (fun i value -> tables[i % 3][int value]) }

    /// torchvision's fallback: the largest centred part whose ratio lies in bounds.
    let private centralPart (minRatio, maxRatio) (image: Image) =
        let ratio = float image.Width / float image.Height

        let width, height =
            if ratio < minRatio then
                image.Width, int (round (float image.Width / minRatio))
            elif ratio > maxRatio then
                int (round (float image.Height * maxRatio)), image.Height
            else
                image.Width, image.Height

        (image.Width - width) / 2, (image.Height - height) / 2, width, height

    /// (left, top, width, height) as torchvision's RandomResizedCrop.get_params draws it: ten tries, then the centre.
    let private randomPart scaleMin scaleMax (random: RandomStream) (image: Image) =
        let ratios = 3.0 / 4.0, 4.0 / 3.0

        let attempt _ =
            let area = float image.Width * float image.Height * random.Between(scaleMin, scaleMax)
            let ratio = exp (random.Between(log (fst ratios), log (snd ratios)))
            let width = int (round (sqrt (area * ratio)))
            let height = int (round (sqrt (area / ratio)))

            if 0 < width && width <= image.Width && 0 < height && height <= image.Height then
                let top = random.Below(image.Height - height + 1)
                Some(random.Below(image.Width - width + 1), top, width, height)
            else
                None

        Seq.init 10 attempt |> Seq.tryPick id |> Option.defaultWith (fun () -> centralPart ratios image)

    let private resizeShort size (image: Image) =
        let struct (width, height) = RgbImage.CoveringSize(image.Width, image.Height, size, size)
        Resample.resize width height image

    let private centreCrop size (image: Image) =
        Image.window (RgbImage.CentreOffset(image.Width, size)) (RgbImage.CentreOffset(image.Height, size)) size size image

    /// <summary>Does one step. All chance comes from the stream, in the order of the steps.</summary>
    let step (random: RandomStream) (image: Image) step =
        match step with
        | PadCrop padding ->
            let top = random.Below(2 * padding + 1) - padding
            let left = random.Below(2 * padding + 1) - padding
            Image.window left top image.Width image.Height image
        | Flip -> if random.Float() < 0.5 then Image.flip image else image
        | RandomResizedCrop(scaleMin, scaleMax, size) ->
            let left, top, width, height = randomPart scaleMin scaleMax random image
            image |> Image.window left top width height |> Resample.resize size size
        | ResizeShort size -> resizeShort size image
        | CentreCrop size -> centreCrop size image
        | Resize size -> Resample.resize size size image
        | Lighting(deviation, mode) -> lighting deviation mode random image

    /// What a step makes of an image on its way, at most, in pixels.
    let private largest (image: Image) step =
        let width, height = float image.Width, float image.Height

        match step with
        // Between the two passes of a resize, the width is the new one and the height the old one.
        | Resize size -> float size * max (float size) height
        | ResizeShort size -> float size * float size * max width height / min width height
        | RandomResizedCrop(_, _, size)
        | CentreCrop size -> float size * float size
        | PadCrop _
        | Flip
        | Lighting _ -> width * height

    let private checkRoom (image: Image) step =
        let pixels = largest image step

        if pixels > float Image.maxPixels then
            Error
                $"resized for the network, its {image.Width}×{image.Height} pixels become {pixels / 1e6:F0} million, more than the \
                  {Image.maxPixels / 1_000_000L} million that are allowed: crop it to less extreme proportions"
        else
            Ok image

    /// <summary>Does all steps, first to last; Error where an image is so long and thin that a step would need too much memory.</summary>
    let run steps random image : Result<Image, string> =
        (Ok image, steps)
        ||> List.fold (fun image next ->
            image
            |> Result.bind (fun image -> checkRoom image next)
            |> Result.map (fun image -> step random image next))

/// <summary>The published recipes.</summary>
module Augmentation =
    /// Nothing is changed.
    let none = { Train = []; Test = [] }

    /// CIFAR: a crop of the image padded by 4, and a flip.
    let cifar = { Train = [ PadCrop 4; Flip ]; Test = [] }

    /// <summary>ImageNet: a resized crop of 8 to 100 % of the area, lighting of 0.1, a flip; tests see the middle 224
    /// of 256.</summary>
    let imageNet mode size =
        { Train = [ RandomResizedCrop(0.08, 1.0, size); Lighting(0.1, mode); Flip ]
          Test = [ ResizeShort(size * 256 / 224); CentreCrop size ] }

    /// Something done before either list, for example to bring images to the network's size.
    let after step augmentation = { Train = step :: augmentation.Train; Test = step :: augmentation.Test }
