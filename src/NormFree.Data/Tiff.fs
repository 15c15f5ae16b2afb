/// <summary>Decodes the first image of a TIFF or BigTIFF: 1 to 16 bits; grey, RGB, palette or CMYK, with or without alpha; strips or tiles, in one or several
/// planes; uncompressed, PackBits, LZW, deflate, JPEG or fax.</summary>
module internal NormFree.Data.Tiff

open System
open System.IO
open BitMiracle.LibTiff.Classic
open NormFree.Data.TiffLayout

/// The file's bytes and what the decoder complains about.
[<Sealed>]
type private Source(bytes: byte[]) =
    let mutable read = 0L
    member val Stream = new MemoryStream(bytes, false)
    member val IsDamaged = false with get, set

    /// Strips may share bytes, but no file needs its bytes so many times.
    member _.Count bytesRead =
        read <- read + int64 bytesRead

        if read > 64L * int64 bytes.Length + 65536L then
            raise (InvalidDataException "read too often")

[<Sealed>]
type private SourceStream() =
    inherit TiffStream()
    let source (state: obj) = state :?> Source

    override _.Read(state, buffer, offset, count) =
        (source state).Count count
        (source state).Stream.Read(buffer, offset, count)

    override _.Seek(state, offset, origin) = (source state).Stream.Seek(offset, origin)
    override _.Size state = (source state).Stream.Length
    override _.Close _ = ()

/// Keeps errors, and warnings of the JPEG decoder, which replaces missing data by grey. Nothing is printed. Other users of the library keep their handler.
[<Sealed>]
type private Handler(other: TiffErrorHandler) =
    inherit TiffErrorHandler()

    /// The source of a file that is read here.
    let tryOurs (tiff: Tiff | null) =
        match tiff with
        | null -> None
        | tiff ->
            match tiff.Clientdata() with
            | :? Source as source -> Some source
            | _ -> None

    override _.ErrorHandler(tiff, method, format, args) =
        match tryOurs tiff with
        | Some source -> source.IsDamaged <- true
        | None -> other.ErrorHandler(tiff, method, format, args)

    override _.WarningHandler(tiff, method, format, args) =
        match tryOurs tiff with
        | Some source -> source.IsDamaged <- source.IsDamaged || method = "JPEGLib"
        | None -> other.WarningHandler(tiff, method, format, args)

    override _.ErrorHandlerExt(tiff, state, method, format, args) =
        if (tryOurs tiff).IsNone then
            other.ErrorHandlerExt(tiff, state, method, format, args)

    override _.WarningHandlerExt(tiff, state, method, format, args) =
        if (tryOurs tiff).IsNone then
            other.WarningHandlerExt(tiff, state, method, format, args)

/// Installs the handler: the library has one for a process.
let private handled =
    lazy
        (let other = Tiff.SetErrorHandler(TiffErrorHandler())
         Tiff.SetErrorHandler(Handler other) |> ignore)

/// Sample i of a row as a byte: indices of palettes as they are, others from 0 to 255. 16-bit samples are in the machine's byte order.
let private sample (layout: Layout) (row: byte[]) start =
    let part bits scale i =
        let at = i * bits
        let value = int row[start + at / 8] >>> (8 - bits - at % 8)
        byte ((value &&& ((1 <<< bits) - 1)) * scale)

    let isIndex =
        match layout.Colours with
        | Palette _ -> true
        | _ -> false

    match layout.Bits with
    | 8 -> fun i -> row[start + i]
    | 16 -> fun i -> byte (BitConverter.ToUInt16(row, start + 2 * i) >>> 8)
    | bits -> part bits (if isIndex then 1 else 255 / ((1 <<< bits) - 1))

/// Copies the colours of a block of decoded rows to their places. `plane` is that of planar files.
let private copy (layout: Layout) (target: byte[]) (block: byte[]) (left, top) (width, height) plane =
    let channels = layout.Colours.Channels
    let rowBytes = int (layout.RowBytes width)

    let columns = min width (layout.Width - left)
    let isCopy = layout.Bits = 8 && not layout.IsPlanar && layout.Samples = channels

    for y in 0 .. min height (layout.Height - top) - 1 do
        let sample = sample layout block (y * rowBytes)
        let row = ((top + y) * layout.Width + left) * channels

        if isCopy then
            Array.Copy(block, y * rowBytes, target, row, columns * channels)
        else
            for x in 0 .. columns - 1 do
                if layout.IsPlanar then
                    target[row + x * channels + plane] <- sample x
                else
                    for c in 0 .. channels - 1 do
                        target[row + x * channels + c] <- sample (x * layout.Samples + c)

/// Strips or tiles of colours, from all planes that have them.
let private parts (layout: Layout) =
    Seq.init (layout.Parts * (if layout.IsPlanar then layout.Colours.Channels else 1)) id

/// Decodes a strip or tile to its place. False if data is missing.
let private readPart (tiff: Tiff) (layout: Layout) target (block: byte[]) index =
    let width, height = layout.Part
    let across = (layout.Width + width - 1) / width
    let plane, place = index / layout.Parts, index % layout.Parts
    let left, top = place % across * width, place / across * height
    let rows = if layout.IsTiled then height else min height (layout.Height - top)
    let expected = int (layout.RowBytes width) * rows

    let decoded =
        if layout.IsTiled then
            tiff.ReadEncodedTile(index, block, 0, expected)
        else
            tiff.ReadEncodedStrip(index, block, 0, expected)

    copy layout target block (left, top) (width, rows) plane
    decoded = expected

/// Whether a strip or tile of JPEG data has more scans than decoders should accept.
let private hasTooManyScans (tiff: Tiff) (layout: Layout) =
    let raw index =
        let data = Array.zeroCreate<byte>(int (tiff.RawStripSize index))

        if layout.IsTiled then
            tiff.ReadRawTile(index, data, 0, data.Length) |> ignore
        else
            tiff.ReadRawStrip(index, data, 0, data.Length) |> ignore

        data

    layout.IsJpeg
    && parts layout |> Seq.exists (fun index -> (JpegScans.read (raw index)).Scans > JpegScans.MaxScans)

let private ink (value: byte) (black: byte) = byte ((255 - int value) * (255 - int black) / 255)

/// RGB of the stored colours.
let private toRgb (layout: Layout) (stored: byte[]) =
    let image =
        { Width = layout.Width
          Height = layout.Height
          Pixels =
            match layout.Colours with
            | Rgb
            | JpegColours -> stored
            | _ -> Array.zeroCreate<byte>(3 * layout.Width * layout.Height) }

    let fill colour =
        for i in 0 .. layout.Width * layout.Height - 1 do
            for c in 0..2 do
                image.Pixels[3 * i + c] <- colour i c

    match layout.Colours with
    | Rgb
    | JpegColours -> ()
    | Grey isReversed -> fill (fun i _ -> if isReversed then 255uy - stored[i] else stored[i])
    | Cmyk -> fill (fun i c -> ink stored[4 * i + c] stored[4 * i + 3])
    | Palette table ->
        // Tables of old programs have 8 bits.
        let shift = if Array.exists (fun value -> value > 255UL) table then 8 else 0
        let length = 1 <<< layout.Bits
        fill (fun i c -> byte (table[c * length + int stored[i]] >>> shift))

    image

/// Decodes what was checked. The library throws for some damaged data.
let private decode (bytes: byte[]) fields (layout: Layout) =
    handled.Force()
    let source = Source(TiffRewrite.write bytes fields)
    // "c": by default, the library splits an uncompressed strip of more than 8 KiB into several.
    use tiff = Tiff.ClientOpen("TIFF", "rc", source, SourceStream())

    if isNull tiff then
        Error TiffFields.damaged
    elif hasTooManyScans tiff layout then
        Error $"it has JPEG data of more than {JpegScans.MaxScans} scans, which is the limit"
    else
        if layout.Colours = JpegColours then
            tiff.SetField(TiffTag.JPEGCOLORMODE, JpegColorMode.RGB) |> ignore

        let width, height = layout.Part
        let block = Array.zeroCreate<byte>(int (layout.RowBytes width) * height)
        let stored = Array.zeroCreate<byte>(layout.Colours.Channels * layout.Width * layout.Height)
        let isWhole = parts layout |> Seq.forall (readPart tiff layout stored block)

        if isWhole && not source.IsDamaged then
            Ok(toRgb layout stored)
        else
            Error(TiffFields.truncated bytes)

let private layout (bytes: byte[]) =
    TiffFields.read bytes
    |> Result.bind (fun fields -> ofFields bytes fields |> Result.map (fun layout -> fields, layout))

/// <summary>Width and height in pixels.</summary>
let size bytes = layout bytes |> Result.map (fun (_, layout) -> layout.Width, layout.Height)

/// <summary>The image. `run` runs the decoding of a number of pixels.</summary>
let image (run: int64 -> (unit -> Result<Image, string>) -> Result<Image, string>) (bytes: byte[]) =
    layout bytes
    |> Result.bind (fun (fields, layout) ->
        run (int64 layout.Width * int64 layout.Height) (fun () ->
            try
                decode bytes fields layout
            with
            | :? OutOfMemoryException -> reraise ()
            | _ -> Error(TiffFields.truncated bytes)))
