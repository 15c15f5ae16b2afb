namespace NormFree.Networks

open System.Collections.Concurrent
open System.Collections.Generic
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Training.Optimisers
open TorchSharp

/// <summary>Sign functions, activations, losses and optimisers that scripts add. Specs, recipes and checkpoints hold their names only, so a script
/// registers a function before it uses the name, or loads a checkpoint that does. A name that is registered again gets the new function.</summary>
/// <remarks>Layers with own signs or activations run by torch operations, in both engines. An own sign is packed and exported as sign(x); own
/// activations cannot be packed or exported to ONNX.</remarks>
[<RequireQualifiedAccess>]
module Extensions =

    let private signs = ConcurrentDictionary<string, torch.Tensor -> torch.Tensor>()
    let private activations = ConcurrentDictionary<string, torch.Tensor -> torch.Tensor>()
    let private losses = ConcurrentDictionary<string, torch.Tensor -> torch.Tensor -> torch.Tensor>()
    let private optimisers = ConcurrentDictionary<string, OptimisedParameter list -> ParameterOptimiser>()

    /// <summary>Registers sign(x) with a gradient of its own for <c>SignGradient.Custom name</c>. Its values must be −1 and 1.</summary>
    let registerSign (name: string) (sign: torch.Tensor -> torch.Tensor) = signs[name] <- sign

    /// <summary>Registers an activation for <c>Activation.Custom name</c>. It returns a tensor of the shape of x (N×C×H×W).</summary>
    let registerActivation (name: string) (activation: torch.Tensor -> torch.Tensor) = activations[name] <- activation

    /// <summary>Registers a loss for <c>CustomLoss name</c>: a scalar from logits (N×classes) and labels (N, int64), a mean over images. With
    /// mixed images (<c>Augment.Mixup</c>), labels are shares of the classes (N×classes).</summary>
    let registerLoss (name: string) (loss: torch.Tensor -> torch.Tensor -> torch.Tensor) = losses[name] <- loss

    /// <summary>Registers an optimiser for <c>CustomOptimiser name</c>: one step for one parameter, in place, and the names of its state tensors.</summary>
    /// <remarks>The step gets the parameter, its gradient, its state (0 at first) and the learning rate; it runs without gradients and in a dispose
    /// scope.</remarks>
    let registerOptimiser
        (name: string)
        (slots: string seq)
        (step: OptimisedParameter -> torch.Tensor -> IReadOnlyList<torch.Tensor> -> float -> unit)
        =
        let slots = Seq.toArray slots
        let step = OptimiserStep(fun parameter gradient state rate -> step parameter gradient state rate)
        optimisers[name] <- fun parameters -> new FunctionOptimiser(Seq.toArray parameters, slots, step)

    let private find what registration (known: ConcurrentDictionary<string, 'extension>) name =
        match known.TryGetValue name with
        | true, extension -> extension
        | _ ->
            raise (
                TrainingException
                    $"it uses the {what} '{name}', which this program has not registered: use a script that calls Extensions.{registration} \"{name}\" first."
            )

    let internal loss name = find "loss" "registerLoss" losses name

    let internal optimiser name (parameters: IReadOnlyList<OptimisedParameter>) =
        find "optimiser" "registerOptimiser" optimisers name (List.ofSeq parameters)

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
