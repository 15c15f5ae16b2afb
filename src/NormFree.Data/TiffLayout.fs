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

/// Whether each part lies in the file, and has all its bytes if it is not compressed: the decoder would take others in their place.
let private isWhole (bytes: byte[]) (layout: Layout) compression (offsets: uint64[]) (counts: uint64[]) =
    let needed i =
        let width, height = layout.Part
        let top = i % layout.Parts / ((layout.Width + width - 1) / width) * height
        let rows = if layout.IsTiled then height else min height (layout.Height - top)
        if compression = 1 then uint64 (layout.RowBytes width) * uint64 rows else 1UL

    let length = uint64 bytes.Length

    Seq.zip offsets counts
    |> Seq.indexed
    |> Seq.forall (fun (i, (offset, count)) -> count >= needed i && count <= length && offset <= length - count)

/// Reads the layout, or returns an error.
let ofFields (bytes: byte[]) (fields: Fields) : Result<Layout, string> =
    let numbers tag = if fields.ContainsKey tag then fields[tag] else [||]
    // Values above the range of 32 bits are larger than any limit.
    let small value = int (min value (uint64 System.Int32.MaxValue))
    let first tag value = numbers tag |> Array.tryHead |> Option.map small |> Option.defaultValue value
    let width, height = first Tag.Width 0, first Tag.Height 0
    let samples = first Tag.SamplesPerPixel 1
    let bits = first Tag.BitsPerSample 1
    let compression = first Tag.Compression 1
    let isTiled = fields.ContainsKey Tag.TileWidth || fields.ContainsKey Tag.TileOffsets

    let part =
        if isTiled then
            first Tag.TileWidth 0, first Tag.TileHeight 0
        else
            width, min height (first Tag.RowsPerStrip height)

    let isPlanar = first Tag.Planar 1 = 2 && samples > 1

    let colours =
        match first Tag.Photometric -1 with
        | 0 -> Ok(Grey true)
        | 1 -> Ok(Grey false)
        | 2 -> Ok Rgb
        | 3 when bits <= 8 && (numbers Tag.ColorMap).Length >= 3 * (1 <<< bits) -> Ok(Palette(numbers Tag.ColorMap))
        | 5 -> Ok Cmyk
        | 6 when compression = 7 && not isPlanar -> Ok JpegColours
        | 6 -> unsupported "it has YCbCr colours without JPEG compression"
        | 8
        | 9
        | 10 -> unsupported "it has CIE L*a*b* colours"
        | -1
        | 3 -> Error damaged
        | number -> unsupported $"it has photometric interpretation {number}"

    let parts =
        let along size part = (int64 size + int64 part - 1L) / int64 (max 1 part)
        along width (fst part) * along height (snd part)

    let layout colours =
        { Width = width
          Height = height
          Bits = bits
          Samples = samples
          Colours = colours
          IsPlanar = isPlanar
          IsJpeg = compression = 7
          IsTiled = isTiled
          Parts = int parts
          Part = part }

    let partBytes = (layout Rgb).RowBytes(fst part) * int64 (snd part)

    let offsets, counts =
        if isTiled then
            Tag.TileOffsets, Tag.TileByteCounts
        else
            Tag.StripOffsets, Tag.StripByteCounts

    let stored = parts * (if isPlanar then int64 samples else 1L)

    if width < 1 || height < 1 || samples < 1 || fst part < 1 || snd part < 1 then
        Error damaged
    elif int64 width * int64 height > Image.maxPixels then
        Error $"{width}×{height} pixels are more than the limit of {Image.maxPixels / 1_000_000L} million"
    elif not (isDecoded compression) then
        unsupported $"it has {compressionName compression} compression"
    elif numbers Tag.SampleFormat |> Array.exists (fun format -> format <> 1UL && format <> 4UL) then
        unsupported "it has signed or floating-point samples"
    elif not (List.contains bits [ 1; 2; 4; 8; 16 ]) then
        unsupported $"it has samples of {bits} bits"
    elif numbers Tag.BitsPerSample |> Array.exists (fun other -> small other <> bits) then
        unsupported "it has samples of different numbers of bits"
    elif samples > MaxSamples then
        Error $"its pixels have {samples} samples; the limit is {MaxSamples}"
    elif partBytes > maxPartBytes then
        Error $"its strips or tiles of {partBytes} bytes are more than the limit of {maxPartBytes / 1_000_000L} MB"
    elif stored <> int64 (numbers offsets).Length || stored <> int64 (numbers counts).Length then
        Error damaged
    else
        match colours with
        | Ok colours when samples < colours.Channels -> Error damaged
        | Ok colours when not (isWhole bytes (layout colours) compression (numbers offsets) (numbers counts)) ->
            Error(truncated bytes)
        | Ok colours -> Ok(layout colours)
        | Error reason -> Error reason
