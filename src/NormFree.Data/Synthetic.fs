/// <summary>A synthetic data set of ten classes, for demonstrations and tests without a download.</summary>
/// <remarks>
/// 32×32 images of shapes and patterns with random position, angle, size and colour, over a shaded background with clutter, occlusion and
/// noise. Colours and positions have the same distribution for every class, so only the form identifies the class: a linear model on the
/// pixels stays weak, a small convolutional network does not. Image i depends only on (seed, split, i).
/// </remarks>
module NormFree.Data.Synthetic

open System

/// Side of the images in pixels.
[<Literal>]
let Side = 32

type private Form =
    /// Signed distance to the outline in units of the radius, negative inside.
    | Shape of (float -> float -> float)
    /// A pattern that fills a patch, at a random angle between these bounds in radians.
    | Pattern of minAngle: float * maxAngle: float * (float -> float -> float)

let private length (x: float) (y: float) = sqrt (x * x + y * y)

/// A regular polygon. Folds the plane onto the sector of one side.
let private polygon sides apothem x y =
    let sector = 2.0 * Math.PI / float sides
    let angle = atan2 y x
    let folded = angle - sector * round (angle / sector)
    length x y * cos folded - apothem

/// A star with five points. Folds the plane onto half a point, whose edge is one line.
let private star outer inner x y =
    let sector = 2.0 * Math.PI / 5.0
    let angle = atan2 y x
    let folded = abs (angle - sector * round (angle / sector))
    let px, py = length x y * cos folded, length x y * sin folded
    // The edge runs from the tip (outer, 0) to the notch at half a sector.
    let ex, ey = inner * cos (sector / 2.0) - outer, inner * sin (sector / 2.0)
    ((px - outer) * ey - py * ex) / length ex ey

let private cross arm width x y = min (max (abs x - arm) (abs y - width)) (max (abs x - width) (abs y - arm))

let private crescent x y = max (length x y - 0.95) (0.66 - length (x - 0.55) y)

/// Signed distance to the nearest edge of stripes of this width along x.
let private stripes width y =
    let phase = y / (2.0 * width)
    (abs (phase - floor phase - 0.5) - 0.25) * 2.0 * width

let private checker width x y =
    let a, b = stripes width x, stripes width y
    min (max a b) (max -a -b)

let private degrees angle = angle * Math.PI / 180.0

/// The sizes give all forms about the same area, so that the area does not identify the class.
let private forms =
    [| "disc", Shape(fun x y -> length x y - 0.80)
       "ring", Shape(fun x y -> abs (length x y - 0.78) - 0.2)
       "square", Shape(polygon 4 0.70)
       "triangle", Shape(polygon 3 0.60)
       "cross", Shape(cross 0.98 0.30)
       "star", Shape(star 1.2 0.53)
       "crescent", Shape crescent
       "stripes", Pattern(degrees -15.0, degrees 15.0, (fun _ y -> stripes 0.30 y))
       "diagonals", Pattern(degrees 30.0, degrees 60.0, (fun _ y -> stripes 0.30 y))
       "checker", Pattern(degrees -45.0, degrees 45.0, checker 0.40) |]

/// The names of the ten classes, by label.
let classes = Array.map fst forms

type private Scene =
    {
        Random: RandomStream
        /// Three planes of floats, 0 to 255.
        Planes: float[]
    }

/// A colour (R, G, B) of about this luminance with a random hue.
let private colour (random: RandomStream) luminance =
    let red, blue = random.Between(-55.0, 55.0), random.Between(-55.0, 55.0)
    let green = -(0.299 * red + 0.114 * blue) / 0.587
    [| luminance + red; luminance + green; luminance + blue |]

/// Blends a colour into a pixel.
let inline private blend (planes: float[]) at (ink: float[]) alpha =
    for c in 0..2 do
        let i = c * Side * Side + at
        planes[i] <- planes[i] + alpha * (ink[c] - planes[i])

/// The fraction of a pixel inside an outline at this signed distance in pixels. The edge is one pixel wide.
let inline private coverage distance = Math.Clamp(0.5 - distance, 0.0, 1.0)

/// Fills the inside of an outline, given each pixel's signed distance in pixels.
let inline private fill scene ink ([<InlineIfLambda>] distance: float -> float -> float) =
    for y in 0 .. Side - 1 do
        for x in 0 .. Side - 1 do
            let alpha = coverage (distance (float x + 0.5) (float y + 0.5))

            if alpha > 0.0 then
                blend scene.Planes (y * Side + x) ink alpha

/// A gradient between two colours of similar luminance, in a random direction.
let private background scene luminance =
    let random = scene.Random
    let first, second = colour random (luminance - 15.0), colour random (luminance + 15.0)
    let angle = random.Between(0.0, 2.0 * Math.PI)
    let dx, dy = cos angle / float Side, sin angle / float Side

    for y in 0 .. Side - 1 do
        for x in 0 .. Side - 1 do
            let alpha = Math.Clamp(0.5 + dx * float (x - Side / 2) + dy * float (y - Side / 2), 0.0, 1.0)
            blend scene.Planes (y * Side + x) first 1.0
            blend scene.Planes (y * Side + x) second alpha

/// A bar at a random angle: clutter if small, an occluder if large.
let private bar scene ink (cx, cy) halfLength halfWidth =
    let angle = scene.Random.Between(0.0, Math.PI)
    let c, s = cos angle, sin angle

    fill scene ink (fun x y ->
        let u, v = c * (x - cx) + s * (y - cy), c * (y - cy) - s * (x - cx)
        max (abs u - halfLength) (abs v - halfWidth))

let private position (random: RandomStream) margin =
    random.Between(margin, float Side - margin), random.Between(margin, float Side - margin)

let private clutter scene luminance =
    let random = scene.Random

    for _ in 1 .. 2 + random.Below 3 do
        let ink = colour random (luminance + random.Between(-60.0, 60.0))
        bar scene ink (position random 0.0) (random.Between(1.0, 4.0)) (random.Between(0.5, 1.2))

/// The patch of a pattern is round or square, so that its outline does not identify the class.
let private patch (random: RandomStream) =
    if random.Float() < 0.5 then (fun x y -> length x y - 1.1) else polygon 4 0.97

let private drawForm scene ink label =
    let random = scene.Random
    let radius = random.Between(7.5, 11.5)
    let cx, cy = position random 13.0

    let angle, distance =
        match snd forms[label] with
        | Shape distance -> random.Between(0.0, 2.0 * Math.PI), distance
        | Pattern(minAngle, maxAngle, distance) ->
            let mirror = if random.Float() < 0.5 then 1.0 else -1.0
            let phase = random.Float()
            let outline = patch random

            mirror * random.Between(minAngle, maxAngle),
            (fun x y -> max (outline x y) (distance (x + phase) (y + phase)))

    let c, s = cos angle / radius, sin angle / radius

    fill scene ink (fun x y ->
        let dx, dy = x - cx, y - cy
        radius * distance (c * dx + s * dy) (c * dy - s * dx))

    cx, cy

/// Covers a part of the form, with probability 0.4.
let private occlude scene luminance (cx, cy) =
    let random = scene.Random

    if random.Float() < 0.4 then
        let offset () = random.Between(-8.0, 8.0)
        let ink = colour random (luminance + random.Between(-40.0, 40.0))
        bar scene ink (cx + offset (), cy + offset ()) (random.Between(4.0, 9.0)) (random.Between(1.0, 2.2))

/// Adds triangular noise, from two random bytes per value, and converts to an image.
let private toImage scene amplitude =
    let result = Image.blank Side Side
    let area = Side * Side

    for i in 0 .. area - 1 do
        let bits = scene.Random.Bits()

        for c in 0..2 do
            let noise = float ((bits >>> (16 * c)) &&& 255UL) - float ((bits >>> (16 * c + 8)) &&& 255UL)
            let value = scene.Planes[c * area + i] + amplitude * noise / 255.0
            result.Pixels[3 * i + c] <- byte (Math.Clamp(value, 0.0, 255.0))

    result

let private draw (seed: int64) (split: int64) index label =
    let random = RandomStream.For(Purpose.Drawing, seed, split, int64 index)
    let scene = { Random = random; Planes = Array.zeroCreate (3 * Side * Side) }
    let ground = random.Between(90.0, 165.0)
    let contrast = random.Between(45.0, 85.0)
    let sign = if random.Float() < 0.8 then 1.0 else -1.0
    background scene ground
    clutter scene ground
    let centre = drawForm scene (colour random (ground + sign * contrast)) label
    occlude scene ground centre
    toImage scene 40.0

let private source name seed split count =
    { Count = count
      Label = fun i -> i % classes.Length
      Name = fun i -> $"synthetic {name} image {i}"
      Load =
        fun i ->
            if i < 0 || i >= count then
                raise (ArgumentOutOfRangeException(nameof i, i, $"The data set has {count} images."))

            Ok(draw seed split i (i % classes.Length)) }

/// Mean and standard deviation of the 6000 images of `standard`. Other seeds differ in the third digit.
let private normalisation =
    { Mean = [| 0.520f; 0.522f; 0.521f |]; Deviation = [| 0.180f; 0.157f; 0.180f |] }

/// <summary>The data set of a seed, with these numbers of training and test images.</summary>
let dataset seed train test =
    { Name = "synthetic"
      Classes = classes
      Train = source "train" seed 0L train
      Test = source "test" seed 1L test
      Normalisation = normalisation
      Size = Side
      Augmentation = { Train = [ PadCrop 2; Flip ]; Test = [] }
      Notes = [] }

/// <summary>Seed 1, with 6000 training and 1000 test images.</summary>
let standard = dataset 1L 6000 1000
