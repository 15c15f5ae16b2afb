namespace NormFree.Data

open System

/// <summary>An image that is mixed from two: its own, whose label counts with the share <c>Share</c>, and a partner's.</summary>
type internal Mixed = { Image: Image; Partner: int; Share: float }

/// <summary>Mixup and CutMix of single images. Partners and shares are drawn for each image, so they depend neither on batches nor on ranks.</summary>
[<RequireQualifiedAccess>]
module internal Mixing =

    /// λ·a + (1 − λ)·b, rounded to bytes.
    let blend (share: float) (a: Image) (b: Image) =
        let value (x: byte) (y: byte) = byte (Math.Round(share * float x + (1.0 - share) * float y))
        { a with Pixels = Array.map2 value a.Pixels b.Pixels }

    /// A with the rectangle of b, and the share of a that is left. The rectangle has 1 − share of the area before it is cut at the edges.
    let paste (random: RandomStream) (share: float) (a: Image) (b: Image) =
        let side length = int (float length * sqrt (1.0 - share))
        let width, height = side a.Width, side a.Height
        let left, top = random.Below a.Width - width / 2, random.Below a.Height - height / 2
        let x0, y0 = max 0 left, max 0 top
        let x1, y1 = min a.Width (left + width), min a.Height (top + height)
        let pixels = Array.copy a.Pixels

        for y in y0 .. y1 - 1 do
            let start = 3 * (y * a.Width + x0)
            Array.Copy(b.Pixels, start, pixels, start, 3 * max 0 (x1 - x0))

        let area = max 0 (x1 - x0) * max 0 (y1 - y0)
        { a with Pixels = pixels }, 1.0 - float area / float (a.Width * a.Height)

    /// <summary>The image mixed with another one. Several steps are alternatives of equal probability. <c>load</c> returns the image with an index after
    /// all other steps; an image without a readable partner stays as it is.</summary>
    let apply (steps: Augment list) (random: RandomStream) count (load: int -> Result<Image, string>) index image =
        let step = steps[random.Below steps.Length]
        let partner = random.Below count

        match load partner with
        | Error _ -> { Image = image; Partner = index; Share = 1.0 }
        | Ok other ->
            match step with
            | Mixup alpha ->
                let share = random.Beta alpha
                { Image = blend share image other; Partner = partner; Share = share }
            | CutMix alpha ->
                let pasted, share = paste random (random.Beta alpha) image other
                { Image = pasted; Partner = partner; Share = share }
            | _ -> invalidOp $"{step} does not mix images"
