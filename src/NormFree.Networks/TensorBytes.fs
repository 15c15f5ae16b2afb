namespace NormFree.Networks

open System
open NormFree.Formats.Safetensors
open NormFree.Runs
open NormFree.Torch.Native
open TorchSharp

/// <summary>Converts tensors to and from the bytes in files: row-major and little-endian.</summary>
[<RequireQualifiedAccess>]
module TensorBytes =

    let private types =
        [ torch.ScalarType.Float32, DType.F32
          torch.ScalarType.Float64, DType.F64
          torch.ScalarType.Float16, DType.F16
          torch.ScalarType.BFloat16, DType.BF16
          torch.ScalarType.Int64, DType.I64
          torch.ScalarType.Int32, DType.I32
          torch.ScalarType.Int16, DType.I16
          torch.ScalarType.Int8, DType.I8
          torch.ScalarType.Byte, DType.U8
          torch.ScalarType.Bool, DType.Bool ]

    /// <summary>The file's element type for a TorchSharp type.</summary>
    let typeOf (dtype: torch.ScalarType) = types |> List.find (fun (known, _) -> known = dtype) |> snd

    /// <summary>The TorchSharp type of a file's element type; None for unsigned integers of 16 to 64 bits, which TorchSharp lacks.</summary>
    let tryType (dtype: DType) =
        types |> List.tryPick (fun (torchType, known) -> if known = dtype then Some torchType else None)

    /// <summary>A copy of a tensor's elements.</summary>
    let ofTensor (tensor: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        tensor.detach().cpu().contiguous().bytes.ToArray()

    /// <summary>A tensor of these elements.</summary>
    /// <remarks>Throws ArgumentException if TorchSharp lacks the type.</remarks>
    let toTensor (dtype: DType) (shape: int64 seq) (bytes: byte[]) : torch.Tensor =
        match tryType dtype with
        | None -> invalidArg (nameof dtype) $"TorchSharp has no tensors of {dtype.Name()}."
        | Some torchType ->
            TorchNative.Ensure()
            let tensor = torch.empty (Seq.toArray shape, dtype = torchType)

            if bytes.Length > 0 then
                bytes.AsSpan().CopyTo tensor.bytes

            tensor
