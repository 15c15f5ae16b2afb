namespace NormFree.Kernels.Optimisers;

/// <summary>The numbers of one step of Adam.</summary>
/// <param name="Rate">Learning rate.</param>
/// <param name="Step">t, from 1.</param>
/// <param name="Decoupled">AdamW: weight decay multiplies the parameter by 1 − rate·decay; else decay·p is added to the gradient.</param>
/// <param name="Beta1">β₁.</param>
/// <param name="Beta2">β₂.</param>
/// <param name="Epsilon">ε.</param>
public readonly record struct AdamStep(double Rate, long Step, bool Decoupled, double Beta1, double Beta2, double Epsilon);
