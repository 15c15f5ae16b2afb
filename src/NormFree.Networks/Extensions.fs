namespace NormFree.Networks

open System.Collections.Concurrent
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>Sign functions and activations that scripts add to networks. Specs and checkpoints hold their names only, so a script registers a function
/// before it creates or loads a network that uses it.</summary>
/// <remarks>Such networks run in the composite engine, also as parts of the fused one. They cannot be packed or exported.</remarks>
[<RequireQualifiedAccess>]
module Extensions =

    let private signs = ConcurrentDictionary<string, torch.Tensor -> torch.Tensor>()
    let private activations = ConcurrentDictionary<string, torch.Tensor -> torch.Tensor>()

    /// <summary>Registers sign(x) with a gradient of its own for <c>SignGradient.Custom name</c>. Its values must be −1 and 1.</summary>
    /// <remarks>A name that is registered again gets the new function.</remarks>
    let registerSign (name: string) (sign: torch.Tensor -> torch.Tensor) = signs[name] <- sign

    /// <summary>Registers an activation for <c>Activation.Custom name</c>. It returns a tensor of the shape of x (N×C×H×W).</summary>
    /// <remarks>A name that is registered again gets the new function.</remarks>
    let registerActivation (name: string) (activation: torch.Tensor -> torch.Tensor) = activations[name] <- activation

    let private find what registration (known: ConcurrentDictionary<string, torch.Tensor -> torch.Tensor>) name =
        match known.TryGetValue name with
        | true, extension -> extension
        | _ ->
            raise (
                TrainingException
                    $"the network uses the {what} '{name}', which this program has not registered: call Extensions.{registration} \"{name}\" before \
                      the network is created or loaded."
            )

    let internal sign name = find "sign gradient" "registerSign" signs name

    let internal activation name = find "activation" "registerActivation" activations name

    let private requirePart part =
        match part with
        | Part.Binary { Sign = SignGradient.Custom name } -> sign name |> ignore
        | Part.Activation(Activation.Custom name) -> activation name |> ignore
        | _ -> ()

    /// Throws TrainingException if a network uses an extension that is not registered.
    let internal require (net: NetSpec) =
        for block in net.Blocks do
            block.Branch @ block.After |> List.iter requirePart
