namespace NormFree.Data

open System
open System.Globalization
open NormFree.Kernels.Images

/// <summary>The unit of PCA lighting (Krizhevsky et al. 2012); deviation 4 of docs/method.md.</summary>
type LightingMode =
    /// As in the published code: shifts for images in [0,1], about 0.02, are added to bytes, and the sum is truncated.
    | Published
    /// The shift is scaled to bytes (× 255), and the sum is rounded.
    | Corrected

/// <summary>One step of augmentation or preprocessing. Steps work on bytes, as torchvision's do on PIL images.</summary>
type Augment =
    /// Pads each side with this many black pixels, then crops to the original size at a random position.
    | PadCrop of padding: int
    /// The same, but pads with the image mirrored at its edge, without repeating the edge, as torchvision's "reflect" does.
    | ReflectPadCrop of padding: int
    /// Flips horizontally with probability 1/2.
    | Flip
    /// Crops a random fraction of the area with an aspect ratio of 3/4 to 4/3, then resizes to size×size (Szegedy et al. 2015).
    | RandomResizedCrop of scaleMin: float * scaleMax: float * size: int
    /// Resizes the shorter side to this length and keeps the aspect ratio.
    | ResizeShort of size: int
    /// Crops the centre to size×size. A smaller image is padded with black.
    | CentreCrop of size: int
    /// Resizes to size×size, ignoring the aspect ratio.
    | Resize of size: int
    /// Shifts the colours along the principal components of ImageNet's colours, by normal amounts of this standard deviation.
    | Lighting of deviation: float * LightingMode
    /// This many random operations, one after the other, of this magnitude (0 to 30): torchvision's RandAugment (Cubuk et al. 2020).
    | RandAugment of count: int * magnitude: int
    /// A step that a script registers under this name. The result may not have more pixels than the image.
    | CustomAugment of name: string
    /// λ·image + (1 − λ)·another image of the data set, and the labels likewise; λ ~ Beta(alpha, alpha) (Zhang et al., "mixup", ICLR 2018).
    | Mixup of alpha: float
    /// Replaces a rectangle by that of another image, and the label in proportion to its area; the area's share is 1 − λ, λ ~ Beta(alpha, alpha)
    /// (Yun et al., "CutMix", ICCV 2019).
    | CutMix of alpha: float

    /// <summary>Whether the step needs another image of the data set. The loader applies these steps after all others.</summary>
    member step.Mixes =
        match step with
        | Mixup _
        | CutMix _ -> true
        | PadCrop _
        | ReflectPadCrop _
        | Flip
        | RandomResizedCrop _
        | ResizeShort _
        | CentreCrop _
        | Resize _
        | Lighting _
        | RandAugment _
        | CustomAugment _ -> false

/// <summary>What a training adds to the training steps of its data set.</summary>
type ExtraAugment =
    /// Images are padded by mirroring instead of with black.
    | Reflect
    | WithMixup of alpha: float
    | WithCutMix of alpha: float
    | WithRandAugment of count: int * magnitude: int

/// <summary>The steps for training and for testing.</summary>
type Augmentation = { Train: Augment list; Test: Augment list }

module Augment =
    let private custom =
        System.Collections.Concurrent.ConcurrentDictionary<string, RandomStream -> Image -> Image>()

    /// <summary>Registers a step for <c>CustomAugment name</c>. All random numbers must come from the stream, so that runs can be repeated and resumed.
    /// Loader threads call it at the same time.</summary>
    let register (name: string) (step: RandomStream -> Image -> Image) = custom[name] <- step

    let private registered name =
        match custom.TryGetValue name with
        | true, step -> step
        | _ ->
            invalidOp
                $"the data set uses the augmentation '{name}', which this program has not registered: call Augment.register \"{name}\" first."

    let private number (value: float) = value.ToString("0.####", CultureInfo.InvariantCulture)

    /// <summary>A step in words, for reports and model cards.</summary>
    let describe step =
        match step with
        | PadCrop padding -> $"pad by {padding} pixels and crop at random"
        | ReflectPadCrop padding -> $"pad by {padding} mirrored pixels and crop at random"
        | Flip -> "flip left to right at random"
        | RandomResizedCrop(low, high, side) ->
            $"crop {number (100.0 * low)} to {number (100.0 * high)} %% of the area at random and resize it to {side}×{side}"
        | ResizeShort side -> $"resize the shorter side to {side} pixels"
        | CentreCrop side -> $"crop the centre to {side}×{side}"
        | Resize side -> $"resize to {side}×{side}"
        | Lighting(deviation, _) -> $"add PCA lighting noise with standard deviation {number deviation}"
        | RandAugment(count, magnitude) -> $"RandAugment, {count} operations of magnitude {magnitude}"
        | CustomAugment name -> $"own augmentation {name}"
        | Mixup alpha -> $"mixup, α = {number alpha}"
        | CutMix alpha -> $"CutMix, α = {number alpha}"

    let private eigenvalues = [| 0.2175; 0.0188; 0.0045 |]

    /// Row c: the contributions of the three components to channel c.
    let private eigenvectors =
        [| [| -0.5675; 0.7192; 0.4009 |]; [| -0.5808; -0.0045; -0.8140 |]; [| -0.5836; -0.6948; 0.4203 |] |]

    /// Maps each value of each channel: 3 tables of 256 bytes.
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

    /// torchvision's fallback: the largest centred crop whose aspect ratio is in bounds.
    let private centralCrop (minRatio, maxRatio) (image: Image) =
        let ratio = float image.Width / float image.Height

        let width, height =
            if ratio < minRatio then
                image.Width, int (round (float image.Width / minRatio))
            elif ratio > maxRatio then
                int (round (float image.Height * maxRatio)), image.Height
            else
                image.Width, image.Height

        (image.Width - width) / 2, (image.Height - height) / 2, width, height

    /// (left, top, width, height), sampled as in torchvision's RandomResizedCrop.get_params: ten attempts, then the central crop.
    let private randomCrop scaleMin scaleMax (random: RandomStream) (image: Image) =
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

        Seq.init 10 attempt |> Seq.tryPick id |> Option.defaultWith (fun () -> centralCrop ratios image)

    let private resizeShort size (image: Image) =
        let struct (width, height) = RgbImage.CoveringSize(image.Width, image.Height, size, size)
        Resample.resize width height image

    let private centreCrop size (image: Image) =
        Image.window
            (RgbImage.CentreOffset(image.Width, size))
            (RgbImage.CentreOffset(image.Height, size))
            size
            size
            image

    let private shifted (random: RandomStream) padding window =
        let top = random.Below(2 * padding + 1) - padding
        let left = random.Below(2 * padding + 1) - padding
        window left top

    /// <summary>Applies one step. All random numbers come from the stream. Steps that mix images do nothing to one image.</summary>
    let step (random: RandomStream) (image: Image) step =
        match step with
        | PadCrop padding ->
            shifted random padding (fun left top -> Image.window left top image.Width image.Height image)
        | ReflectPadCrop padding -> shifted random padding (fun left top -> Image.mirrored left top image)
        | Flip -> if random.Float() < 0.5 then Image.flip image else image
        | RandomResizedCrop(scaleMin, scaleMax, size) ->
            let left, top, width, height = randomCrop scaleMin scaleMax random image
            image |> Image.window left top width height |> Resample.resize size size
        | ResizeShort size -> resizeShort size image
        | CentreCrop size -> centreCrop size image
        | Resize size -> Resample.resize size size image
        | Lighting(deviation, mode) -> lighting deviation mode random image
        | RandAugment(count, magnitude) -> NormFree.Data.RandAugment.run count magnitude random image
        | CustomAugment name -> registered name random image
        | Mixup _
        | CutMix _ -> image

    /// The most pixels that a step holds at once.
    let private peakPixels (image: Image) step =
        let width, height = float image.Width, float image.Height

        match step with
        // Between the passes of a resize, the image has the new width and the old height.
        | Resize size -> float size * max (float size) height
        | ResizeShort size -> float size * float size * max width height / min width height
        | RandomResizedCrop(_, _, size)
        | CentreCrop size -> float size * float size
        | PadCrop _
        | ReflectPadCrop _
        | Flip
        | Lighting _
        | RandAugment _
        | CustomAugment _
        | Mixup _
        | CutMix _ -> width * height

    let private checkPixels (image: Image) step =
        let pixels = peakPixels image step

        if pixels > float Image.maxPixels then
            Error
                $"resizing its {image.Width}×{image.Height} pixels for the network takes {pixels / 1e6:F0} million pixels, more than the limit of \
                  {Image.maxPixels / 1_000_000L} million: crop it to less extreme proportions"
        else
            Ok image

    /// <summary>Applies all steps in order. Error if the image is so elongated that a step would need too much memory.</summary>
    let run steps random image : Result<Image, string> =
        (Ok image, steps)
        ||> List.fold (fun image next ->
            image
            |> Result.bind (fun image -> checkPixels image next)
            |> Result.map (fun image -> step random image next))

/// <summary>The published augmentations.</summary>
module Augmentation =
    /// No steps.
    let none = { Train = []; Test = [] }

    /// CIFAR: pad by 4, crop, flip.
    let cifar = { Train = [ PadCrop 4; Flip ]; Test = [] }

    /// <summary>ImageNet: training uses a resized crop of 8 to 100 % of the area, lighting of 0.1 and a flip; testing uses the central 224 of
    /// 256 pixels.</summary>
    let imageNet mode size =
        { Train = [ RandomResizedCrop(0.08, 1.0, size); Lighting(0.1, mode); Flip ]
          Test = [ ResizeShort(size * 256 / 224); CentreCrop size ] }

    let private reflect step =
        match step with
        | PadCrop padding -> ReflectPadCrop padding
        | other -> other

    let private add steps extra =
        match extra with
        | Reflect -> List.map reflect steps
        | WithMixup alpha -> steps @ [ Mixup alpha ]
        | WithCutMix alpha -> steps @ [ CutMix alpha ]
        | WithRandAugment(count, magnitude) -> steps @ [ RandAugment(count, magnitude) ]

    /// <summary>Adds to the training steps.</summary>
    let extend (extras: ExtraAugment list) augmentation =
        { augmentation with Train = List.fold add augmentation.Train extras }

    /// Prepends a step to both lists, for example to resize images to the network's input.
    let after step augmentation = { Train = step :: augmentation.Train; Test = step :: augmentation.Test }
