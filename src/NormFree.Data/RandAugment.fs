namespace NormFree.Data

/// <summary>An operation of RandAugment.</summary>
type RandOperation =
    | Identity = 0
    | ShearX = 1
    | ShearY = 2
    | TranslateX = 3
    | TranslateY = 4
    | Rotate = 5
    | Brightness = 6
    | Color = 7
    | Contrast = 8
    | Sharpness = 9
    | Posterize = 10
    | Solarize = 11
    | AutoContrast = 12
    | Equalize = 13

/// <summary>RandAugment (Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", NeurIPS 2020), with the
/// operations, magnitudes and results of torchvision's, for images of bytes and nearest neighbours.</summary>
[<RequireQualifiedAccess>]
module RandAugment =

    /// Magnitudes are 0 … bins − 1.
    let private bins = 31

    let private operations = System.Enum.GetValues<RandOperation>()

    let private isSigned operation = operation >= RandOperation.ShearX && operation <= RandOperation.Sharpness

    /// <summary>What a bin of the magnitude means for an operation on an image.</summary>
    let magnitude operation (bin: int) (image: Image) =
        let share = float bin / float (bins - 1)

        match operation with
        | RandOperation.ShearX
        | RandOperation.ShearY -> 0.3 * share
        | RandOperation.TranslateX -> 150.0 / 331.0 * float image.Width * share
        | RandOperation.TranslateY -> 150.0 / 331.0 * float image.Height * share
        | RandOperation.Rotate -> 30.0 * share
        | RandOperation.Brightness
        | RandOperation.Color
        | RandOperation.Contrast
        | RandOperation.Sharpness -> 0.9 * share
        | RandOperation.Posterize -> 8.0 - round (4.0 * share)
        | RandOperation.Solarize -> 255.0 * (1.0 - share)
        | _ -> 0.0

    /// <summary>Applies one operation with a magnitude.</summary>
    let apply operation magnitude image =
        match operation with
        | RandOperation.ShearX -> PixelOperations.affine (1.0, magnitude, 0.0) (0.0, 1.0, 0.0) image
        | RandOperation.ShearY -> PixelOperations.affine (1.0, 0.0, 0.0) (magnitude, 1.0, 0.0) image
        | RandOperation.TranslateX -> PixelOperations.affine (1.0, 0.0, -truncate magnitude) (0.0, 1.0, 0.0) image
        | RandOperation.TranslateY -> PixelOperations.affine (1.0, 0.0, 0.0) (0.0, 1.0, -truncate magnitude) image
        | RandOperation.Rotate -> PixelOperations.rotate magnitude image
        | RandOperation.Brightness -> PixelOperations.brightness (1.0 + magnitude) image
        | RandOperation.Color -> PixelOperations.saturation (1.0 + magnitude) image
        | RandOperation.Contrast -> PixelOperations.contrast (1.0 + magnitude) image
        | RandOperation.Sharpness -> PixelOperations.sharpness (1.0 + magnitude) image
        | RandOperation.Posterize -> PixelOperations.posterize (int magnitude) image
        | RandOperation.Solarize -> PixelOperations.solarize magnitude image
        | RandOperation.AutoContrast -> PixelOperations.autoContrast image
        | RandOperation.Equalize -> PixelOperations.equalize image
        | _ -> image

    /// <summary>Applies <c>count</c> random operations, one after the other, each with a random sign where it has one.</summary>
    let run count bin (random: RandomStream) image =
        let step image _ =
            let operation = operations[random.Below operations.Length]
            let magnitude = magnitude operation bin image
            let negative = isSigned operation && random.Below 2 = 1
            apply operation (if negative then -magnitude else magnitude) image

        Seq.fold step image (seq { 1..count })
