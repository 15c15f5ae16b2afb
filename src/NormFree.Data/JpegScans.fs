/// <summary>Follows the markers of a JPEG (ITU T.81) without decoding it: counts its scans and tells whether they are complete.</summary>
module NormFree.Data.JpegScans

open System
open System.Collections.Generic

/// The maximum number of scans of a progressive JPEG. Each scan covers the whole image; encoders write about ten.
[<Literal>]
let MaxScans = 64

/// Coefficients of a block.
[<Literal>]
let private Coefficients = 64

/// The bit of a coefficient that was never sent.
[<Literal>]
let private NotSent = 255uy

/// <summary>The markers of a JPEG that say what it contains.</summary>
type Jpeg =
    {
        Scans: int
        /// The position of the first marker after each scan's data.
        ScanEnds: int list
        /// The position of the end marker, if there is one.
        End: int option
        /// Whether scans are missing that the others announce.
        LacksScans: bool
    }

/// For each component, the lowest bit sent of each coefficient (0 when it is complete).
type private Sent = Dictionary<byte, byte[]>

/// The identifiers of the components in a frame header (B.2.2).
let private readFrame (segment: byte[]) (sent: Sent) =
    let count = if segment.Length > 5 then int segment[5] else 0

    for i in 0 .. count - 1 do
        if segment.Length > 6 + 3 * i then
            sent[segment[6 + 3 * i]] <- Array.create Coefficients NotSent

/// The coefficients and bits of a scan header (B.2.3). Other modes than progressive send whole blocks.
let private readScan isProgressive (segment: byte[]) (sent: Sent) =
    let count = if segment.Length = 0 then 0 else int segment[0]

    if segment.Length >= 1 + 2 * count + 3 then
        let first, last, bits = segment[1 + 2 * count], segment[2 + 2 * count], segment[3 + 2 * count]

        for i in 0 .. count - 1 do
            match sent.TryGetValue segment[1 + 2 * i] with
            | true, lowest when isProgressive ->
                for k in int first .. min (int last) (Coefficients - 1) do
                    lowest[k] <- bits &&& 15uy
            | true, lowest -> Array.Fill(lowest, 0uy)
            | _ -> ()

/// Whether scans are missing. An encoder may leave out all detail of a colour component, so a component without any is complete if it is not the first.
/// Everything else is sent to the last bit once it is begun.
let private lacksScans (sent: Sent) =
    sent.Values
    |> Seq.indexed
    |> Seq.exists (fun (component', lowest) ->
        let detail = Array.skip 1 lowest
        let isWhole = lowest |> Array.forall ((=) 0uy)
        let isFlat = lowest[0] = 0uy && detail |> Array.forall ((=) NotSent)
        not (isWhole || (component' > 0 && isFlat)))

/// <summary>Reads the markers. Segments state their lengths. Inside a scan, a byte of 255 followed by 0 is data.</summary>
let read (bytes: byte[]) =
    let sent = Sent()
    let mutable isProgressive = false
    let isMarker at = bytes[at + 1] <> 0uy && bytes[at + 1] <> 0xFFuy
    let ends = List<int>()

    let ended scans position =
        { Scans = scans; ScanEnds = List.ofSeq ends; End = position; LacksScans = lacksScans sent }

    let segment at length =
        let start = min bytes.Length (at + 4)
        Array.sub bytes start (min (bytes.Length - start) (max 0 (length - 2)))

    let rec next at scans =
        let skipped =
            if at < bytes.Length then
                ReadOnlySpan(bytes, at, bytes.Length - at).IndexOf 0xFFuy
            else
                -1

        let at = at + skipped

        if skipped < 0 || at + 1 >= bytes.Length then
            ended scans None
        elif not (isMarker at) then
            next (at + 1) scans
        else
            let isRestart = 0xD0uy <= bytes[at + 1] && bytes[at + 1] <= 0xD7uy

            if scans > ends.Count && not isRestart then
                ends.Add at

            match bytes[at + 1] with
            | 0xD9uy -> ended scans (Some at)
            // Restarts, the start of the image and TEM have no segment.
            | marker when (0xD0uy <= marker && marker <= 0xD8uy) || marker = 1uy -> next (at + 2) scans
            | _ when at + 3 >= bytes.Length -> ended scans None
            | marker ->
                let length = 256 * int bytes[at + 2] + int bytes[at + 3]

                if marker = 0xDAuy then
                    readScan isProgressive (segment at length) sent
                elif marker >= 0xC0uy && marker <= 0xC2uy then
                    isProgressive <- marker = 0xC2uy
                    readFrame (segment at length) sent

                next (at + 2 + length) (if marker = 0xDAuy then scans + 1 else scans)

    next 0 0
