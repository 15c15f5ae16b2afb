/// Draws structured values from the bytes of an input, so that a fuzzer that changes the bytes changes the values.
namespace NormFree.Fuzz

open System
open System.Text

/// A cursor over an input. At its end, every number is 0.
[<Sealed>]
type Draw(bytes: byte[]) =
    let mutable at = 0

    /// Whether all bytes are used.
    member _.IsEmpty = at >= bytes.Length

    member _.Byte() =
        if at < bytes.Length then
            at <- at + 1
            bytes[at - 1]
        else
            0uy

    /// A number from 0 to `bound` − 1; `bound` is at most 256.
    member draw.Below(bound: int) = int (draw.Byte()) % bound

    member draw.Bytes(count: int) = Array.init count (fun _ -> draw.Byte())

    /// A text of up to seven UTF-16 code units. They may be lone surrogates.
    member draw.Text() =
        let unit _ =
            match draw.Byte() with
            | code when code < 0xF0uy -> char code
            | high -> char (int high * 256 + int (draw.Byte()) - 0x1800)

        String(Array.init (draw.Below 8) unit)

    /// The texts between zero bytes, as UTF-8.
    static member Texts(bytes: byte[]) : string list = Encoding.UTF8.GetString(bytes).Split('\000') |> List.ofArray
