/// <summary>How a TIFF stores its first image. Everything that this decoder cannot read is named before any data is decoded.</summary>
module internal NormFree.Data.TiffLayout

open NormFree.Data.TiffFields

/// What the samples of a pixel mean.
type Colours =
    /// Grey, from black to white or reversed.
    | Grey of isReversed: bool
    | Rgb
    /// Indices of a table of red, then green, then blue, of 16 bits each.
    | Palette of table: uint64[]
    /// Inks: cyan, magenta, yellow, black.
    | Cmyk
    /// JPEG's own colours, which its decoder converts to RGB.
    | JpegColours

    /// Samples of a pixel that determine its colour; further ones are alpha or of no meaning.
    member this.Channels =
        match this with
        | Grey _
        | Palette _ -> 1
        | Rgb
        | JpegColours -> 3
        | Cmyk -> 4

type Layout =
    {
        Width: int
        Height: int
        /// 1, 2, 4, 8 or 16.
        Bits: int
        /// Samples stored for a pixel, with alpha.
        Samples: int
        Colours: Colours
        /// Whether each sample has a plane of its own.
        IsPlanar: bool
        IsJpeg: bool
        IsTiled: bool
        /// Strips or tiles of a plane.
        Parts: int
        /// Width and height of a strip or tile.
        Part: int * int
    }

    /// Bytes of a row of `width` pixels, of one plane if there are several.
    member this.RowBytes width =
        (int64 width * int64 (if this.IsPlanar then 1 else this.Samples) * int64 this.Bits + 7L) / 8L

/// Samples of a pixel, at most.
[<Literal>]
let private MaxSamples = 16

/// Bytes of a decoded strip or tile, at most: four samples for each pixel of the largest image.
let private maxPartBytes = 4L * Image.maxPixels

let private isDecoded compression = List.contains compression [ 1; 2; 3; 4; 5; 7; 8; 32773; 32946 ]

let private compressionName compression =
    match compression with
    | 6 -> "old-style JPEG"
    | 34712
    | 33003
    | 33004
    | 33005 -> "JPEG 2000"
    | 34892 -> "lossy JPEG"
    | 34925 -> "LZMA"
    | 34926
    | 50000 -> "Zstandard"
    | 34927
    | 50001 -> "WebP"
    | 50002
    | 52546 -> "JPEG XL"
    | number -> $"unknown ({number})"

let private unsupported what = Error $"{what}, which is not supported: convert it to PNG or JPEG"

let private numbers (fields: Fields) tag = if fields.ContainsKey tag then fields[tag] else [||]

/// Values above the range of 32 bits are larger than any limit.
let private small value = int (min value (uint64 System.Int32.MaxValue))

/// The first value of a field, or the value without it.
let private first fields tag value =
    numbers fields tag |> Array.tryHead |> Option.map small |> Option.defaultValue value

let private compressionOf fields = first fields Tag.Compression 1

/// Strips or tiles of a plane.
let private partsOf (size: int * int) (part: int * int) =
    let along size part = (int64 size + int64 part - 1L) / int64 (max 1 part)
    along (fst size) (fst part) * along (snd size) (snd part)

/// The layout as the fields say. The colours are not known yet.
let private layout (fields: Fields) =
    let width, height = first fields Tag.Width 0, first fields Tag.Height 0
    let samples = first fields Tag.SamplesPerPixel 1
    let isTiled = fields.ContainsKey Tag.TileWidth || fields.ContainsKey Tag.TileOffsets

    let part =
        if isTiled then
            first fields Tag.TileWidth 0, first fields Tag.TileHeight 0
        else
            width, min height (first fields Tag.RowsPerStrip height)

    { Width = width
      Height = height
      Bits = first fields Tag.BitsPerSample 1
      Samples = samples
      Colours = Rgb
      IsPlanar = first fields Tag.Planar 1 = 2 && samples > 1
      IsJpeg = compressionOf fields = 7
      IsTiled = isTiled
      Parts = int (partsOf (width, height) part)
      Part = part }

/// The offsets and the numbers of bytes of all parts of all planes.
let private places fields (layout: Layout) =
    if layout.IsTiled then
        numbers fields Tag.TileOffsets, numbers fields Tag.TileByteCounts
    else
        numbers fields Tag.StripOffsets, numbers fields Tag.StripByteCounts

/// What the samples mean, or an error.
let private colours fields (layout: Layout) =
    match first fields Tag.Photometric -1 with
    | 0 -> Ok(Grey true)
    | 1 -> Ok(Grey false)
    | 2 -> Ok Rgb
    | 3 when layout.Bits <= 8 && (numbers fields Tag.ColorMap).Length >= 3 * (1 <<< layout.Bits) ->
        Ok(Palette(numbers fields Tag.ColorMap))
    | 5 -> Ok Cmyk
    | 6 when layout.IsJpeg && not layout.IsPlanar -> Ok JpegColours
    | 6 -> unsupported "it has YCbCr colours without JPEG compression"
    | 8
    | 9
    | 10 -> unsupported "it has CIE L*a*b* colours"
    | -1
    | 3 -> Error damaged
    | number -> unsupported $"it has photometric interpretation {number}"

/// An error if the sizes are impossible or too large.
let private checkSizes fields (layout: Layout) =
    let width, height = layout.Part
    let partBytes = layout.RowBytes width * int64 height
    let planes = if layout.IsPlanar then int64 layout.Samples else 1L
    let stored = partsOf (layout.Width, layout.Height) layout.Part * planes
    let offsets, counts = places fields layout

    if layout.Samples > MaxSamples then
        Error $"its pixels have {layout.Samples} samples; the limit is {MaxSamples}"
    elif partBytes > maxPartBytes then
        Error $"its strips or tiles of {partBytes} bytes are more than the limit of {maxPartBytes / 1_000_000L} MB"
    elif stored <> int64 offsets.Length || stored <> int64 counts.Length then
        Error damaged
    else
        Ok()

/// An error if the layout is impossible, too large, or one that this decoder cannot read.
let private check fields (layout: Layout) =
    let compression, bits = compressionOf fields, layout.Bits
    let sides = [ layout.Width; layout.Height; layout.Samples; fst layout.Part; snd layout.Part ]

    if sides |> List.exists (fun side -> side < 1) then
        Error damaged
    elif int64 layout.Width * int64 layout.Height > Image.maxPixels then
        Error $"{layout.Width}×{layout.Height} pixels are more than the limit of {Image.maxPixels / 1_000_000L} million"
    elif not (isDecoded compression) then
        unsupported $"it has {compressionName compression} compression"
    elif numbers fields Tag.SampleFormat |> Array.exists (fun format -> format <> 1UL && format <> 4UL) then
        unsupported "it has signed or floating-point samples"
    elif not (List.contains bits [ 1; 2; 4; 8; 16 ]) then
        unsupported $"it has samples of {bits} bits"
    elif numbers fields Tag.BitsPerSample |> Array.exists (fun other -> small other <> bits) then
        unsupported "it has samples of different numbers of bits"
    else
        checkSizes fields layout

/// Whether each part lies in the file, and has all its bytes if it is not compressed: the decoder would take others in their place.
let private isWhole (bytes: byte[]) fields (layout: Layout) =
    let needed i =
        let width, height = layout.Part
        let top = i % layout.Parts / ((layout.Width + width - 1) / width) * height
        let rows = if layout.IsTiled then height else min height (layout.Height - top)

        if compressionOf fields = 1 then
            uint64 (layout.RowBytes width) * uint64 rows
        else
            1UL

    let length = uint64 bytes.Length
    let offsets, counts = places fields layout

    Seq.zip offsets counts
    |> Seq.indexed
    |> Seq.forall (fun (i, (offset, count)) -> count >= needed i && count <= length && offset <= length - count)

/// Reads the layout, or returns an error.
let ofFields (bytes: byte[]) (fields: Fields) : Result<Layout, string> =
    let sizes = layout fields

    check fields sizes
    |> Result.bind (fun () -> colours fields sizes)
    |> Result.bind (fun colours ->
        let layout = { sizes with Colours = colours }

        if layout.Samples < colours.Channels then Error damaged
        elif not (isWhole bytes fields layout) then Error(truncated bytes)
        else Ok layout)
